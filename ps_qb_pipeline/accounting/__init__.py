"""The accounting engine: shop rows in, QuickBooks documents and findings out, to the cent.

Pure: this room imports nothing but itself and the standard library. It reads no file, no clock and
no network; every value that it needs is an argument.
"""
