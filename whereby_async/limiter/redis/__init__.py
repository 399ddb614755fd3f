"""The point budget of many processes and machines, kept in Redis or Valkey: `RedisPointBudget` (in `redis_budget`).

The store holds the state of a `SharedCore` and runs its rules as one script, from beginning to end before it does
anything else. The clock is the store's; nobody else's is looked at. The script is not written by hand: `translator`
makes it from the very rules that a process runs, when the first connection is made. So there is one copy of each rule
to read and to change, and a test holds both side by side, step by step. `transaction.lua` is what a store has to do
beside: load the state, answer one request, keep the state.
"""
