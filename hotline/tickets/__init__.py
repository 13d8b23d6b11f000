"""The ticket core: the map of moves, the ticket, its journal; lock, move, note, reveal."""
