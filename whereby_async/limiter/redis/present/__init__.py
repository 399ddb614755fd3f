"""The rules that the shared budget goes by at present: the ledger in Python that its Lua is held to, and the process account that its
fallback uses. They leave when the shared budget moves to the new core.
"""
