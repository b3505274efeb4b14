"""The embedded AWS of the rehearsal: ministack, extended at run time, in a process of its own on loopback.

No file of the emulator is changed. Each module adds one thing to its tables and functions; the tests name every
internal that this package hangs on.
"""
