"""Text in, suggestions out: what a concern is about, how sure we are, and which words say so.

`suggest.Suggester` answers about one text, `model` learns, `store` keeps models in files that cannot run
code, `evaluation` measures. Nothing here knows a ticket, a session or a web page.
"""
