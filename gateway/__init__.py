"""Loudong Gateway (楼栋网关): the alarm-grade edge daemon of an old residential compound."""

__version__ = "0.1.0"
