// Nothing: the target test_headers is there for its precompiled header.
