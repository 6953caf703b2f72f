"""What will it take, what will it cost, which line wins: arithmetic on values, without a framework.

Bytes are whole numbers, money is Decimal, and nothing is rounded before it is shown. GiB is 2**30 bytes and GB is
10**9; what people read names both. A year has 365 days, as in the published example.
"""
