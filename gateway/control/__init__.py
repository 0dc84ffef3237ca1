"""The local door: a Unix socket by which the command line and the panel speak to the running daemon.

Here live the state folder's owner lock, the socket, its line protocol and its client. What a request means is not known
here: the server hands it to ``answer`` together with who asks, as the kernel says.
"""
