"""``symdiff serve``: a page on this machine that derives what is typed into it.

```
browser ─▶ server.py ─▶ worker.py ═▶ another process ─▶ answers.py
```

The server answers this machine alone, and only who knows the address that it has made up. What is
typed is read by :func:`symdiff.parse` in a process of its own, which is ended where it takes too
long or too much memory. Every text that comes back is escaped HTML, or is shown as text.
"""
