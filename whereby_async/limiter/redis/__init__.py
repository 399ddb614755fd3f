"""The point budget of many processes and machines, kept in Redis or Valkey: `RedisPointBudget` (in `budget`).

**Theory.** *What the server does* and why a grant is safe stands in `present/present_ledger.py`; nothing of it changes when many
processes spend, as long as there is one ledger by one clock. So the ledger lives in the store, as one script (the `.lua` files here;
`desk.lua` is the protocol) that the store runs from beginning to end before it does anything else, and its clock
is the store's `TIME`. A property test holds the script's rules and the local ones side by side.

*What we cannot know.* A call of the script may have been carried out although its answer never came: calls are numbered, each
repeats what was not surely heard, and points that were granted into the void are taken back. A process may die: its permits are
given up a lease after its last sign of life and count as spent until a period after that; the calls of a living process that has
something in flight are a sign of life. A process may be away: what it spent meanwhile it reports first of all. The store may lose
the books (a flush, an eviction, a failover to a replica that lags): processes tell the store which books they know and what they
hold, and new ones begin with that. Where many are concerned, all get a moment to report before anybody gets points, and then one
call goes ahead, whose answer says what really is left.

*The invariant.* The ledger's: what may still count at the server, of all processes that the store knows of, never exceeds the limit.
What may break it is bounded by what a process had granted and not reported when it, or the store, was cut off.

*On cancel* points that were granted and not heard of go back with the next call. *On clock jumps*: a step back of the store's clock
is counted as no time at all; a step forward releases early what is younger than the step, so once at most a limit's worth, which
then meets a 429. No client's clock is ever looked at.

*When the store is away* everybody goes by a share of the limit (`fallback.py`), or calls are refused, as was asked for.

*Fair* is: the lanes in their order, over all processes; in a lane each process in turn, by points, so that who has had least in
the present window comes first, and nobody gets more than any other who still wants; in a process first come, first served. Points
are left for a process that waits, until it has had time to come for them. Calls that have waited two periods get a twentieth of
each window, whatever comes before them.
"""
