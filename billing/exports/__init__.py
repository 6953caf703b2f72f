"""What an export is made of: datasets that come in pages, and writers that take rows one by one."""
