"""What a transaction costs on a line, and so what is worth reading along. Pure.

Theory. On an RS-485 line a character takes 11 bits or 10, a read costs 13 characters of framing and twice 3.5 of silence, and a
register two characters: at 9600 baud 20.8 ms against 2.1 (facts/modbus 4). So a hole of up to ten registers is cheaper read
along than asked around, more where a device is slow to begin. On Modbus TCP a request costs a round trip whatever its length.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.drivers.modbus.plan import Block, Paying
from gateway.site.model import Bus, Framing
from gateway.site.profile import Profile, Space

SILENCE_CHARS = 3.5
SILENCE_FLOOR_S = 0.00175  # Serial Line 2.5.1.1: fixed above 19200 baud
_FAST_BAUD = 19_200
_ASKING_CHARS = 8  # unit, function, address, count, CRC
_FRAME_CHARS = 5  # unit, function, byte count, CRC of the answer
_WORD_CHARS = 2
REPLY_S = 0.005
"""What a device takes before it answers; measured ones take 2 to 50 ms, most about five (facts/baseline, M6)."""
ROUND_TRIP_S = 0.002
"""The same on the local network, where there are no bytes to count."""
_WHOLE_READ = 125  # Application Protocol 6.3
_PAID_PART = 0.5
"""A slower point may lengthen a faster block by half of what a request of its own would cost: it is paid at each turn."""


class Timing(Struct, frozen=True):
    """How long things take on one bus, in seconds."""

    char_s: float
    """0 where no serial line is known of."""
    silence_s: float
    latency_s: float = 0.0
    """What the network before the line adds."""
    reply_s: float = REPLY_S
    """What a device takes to answer, beside that and its bytes."""

    def transaction_s(self, profile: Profile, request_chars: int, answer_chars: int) -> float:
        """From the silence before a request to the end of its answer."""
        if not self.char_s:
            return self.reply_s + self.latency_s
        silence = max(self.silence_s, profile.min_gap_ms / 1000)
        chars = (request_chars + answer_chars) * self.char_s
        return silence + chars + self.silence_s + self.reply_s + self.latency_s

    def read_s(self, block: Block, profile: Profile) -> float:
        """One read of a block."""
        bits = block.space in {Space.COIL, Space.DISCRETE}
        body = -(-block.count // 8) if bits else _WORD_CHARS * block.count
        return self.transaction_s(profile, _ASKING_CHARS, _FRAME_CHARS + body)

    def write_s(self, profile: Profile) -> float:
        """One write and its read-back."""
        return 2 * self.transaction_s(profile, _ASKING_CHARS, _ASKING_CHARS)

    def miss_s(self, profile: Profile, timeout_s: float) -> float:
        """A question that nobody answers."""
        return self.transaction_s(profile, _ASKING_CHARS, _FRAME_CHARS) - self.reply_s + timeout_s

    def paying(self, profile: Profile) -> Paying:
        """Up to how many registers are cheaper read along than a request of their own."""
        if not self.char_s:
            return Paying(_WHOLE_READ, _WHOLE_READ)
        own = self.transaction_s(profile, _ASKING_CHARS, _FRAME_CHARS)
        words = int(own / (_WORD_CHARS * self.char_s))
        return Paying(words, int(_PAID_PART * words))


def silence_of(baud: int, char_s: float) -> float:
    """The least silence between two frames: 3.5 characters, and a fixed time on fast lines."""
    return SILENCE_FLOOR_S if baud > _FAST_BAUD or not baud else SILENCE_CHARS * char_s


def timing_of(bus: Bus) -> Timing:
    """The times of a bus as its site describes it."""
    latency_s = bus.latency_ms / 1000
    if bus.speaks is Framing.TCP and not bus.line_behind:
        return Timing(0.0, 0.0, latency_s, bus.reply_ms / 1000 or ROUND_TRIP_S)
    return Timing(bus.char_s, silence_of(bus.baud, bus.char_s), latency_s, bus.reply_ms / 1000 or REPLY_S)


def outstanding_of(bus: Bus) -> int:
    """Questions that may be under way at once: one on a serial line; else what every device takes, if none wants a pause after each."""
    if bus.speaks is Framing.RTU or bus.line_behind:
        return 1
    return min((1 if d.profile.guard_ms else d.profile.outstanding for d in bus.devices), default=1)
