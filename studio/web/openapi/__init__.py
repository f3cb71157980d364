"""What ``GET /openapi.json`` says: one file per family of routes, written with the code's own limits and errors.

A route's file here has a function ``operations(spec)`` that returns what each method and path takes and gives;
`document` puts them together. Limits are read from the configuration and the code, errors are the classes that the
route raises: nothing is typed twice, and ``tests/integration/test_openapi.py`` compares the rest with real answers.
"""
