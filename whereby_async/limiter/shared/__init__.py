"""What the budgets of many processes have in common, whether a file or a server holds them.

`shared_core` adds to the rules of one process who the processes are, and how they share. `shared_account` is one event
loop's part: it gathers what has ended and who wants points, and carries that to the store in one transaction.
`shared_budget` is the limiter.
"""
