"""Who answers a ticket and until when: propose, dispatch, count deadlines, rule on returns and disputes.

Deadlines are values: `routing.calendars` knows the working days, `routing.profiles` the limits of a city, and
`routing.deadlines` counts with them and tells each step. None of the three knows the database.
"""
