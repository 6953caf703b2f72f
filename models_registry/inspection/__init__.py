"""The admission gate: decides, without running or unpickling anything, whether an adapter may be served.

Pure: no Django, no AWS. Memory stays bounded whatever is uploaded; nothing is written to disk by a foreign name.
"""
