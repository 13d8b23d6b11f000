"""Taking in: a call, a web form, a message or a row of a file becomes a registered ticket, once."""
