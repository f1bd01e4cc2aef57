"""The compiled part of the data plane: it takes what is plain, and hands on the rest.

Each parser here takes a pointer and a length, recognises completely or declines, and what it takes
the parser in `gate.wire` reads alike. Where there was no compiler the modules are missing, and the
Python data plane does all by itself.
"""
