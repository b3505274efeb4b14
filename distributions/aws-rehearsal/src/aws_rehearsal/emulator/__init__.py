"""The AWS emulator of the rehearsal: ministack, extended at run time, in a separate process on loopback.

No file of ministack is changed. Each module extends its tables and functions in one way. The tests list every internal
that this package depends on.
"""
