"""Who answers a ticket and until when: propose, dispatch, count deadlines, rule on returns and disputes.

On this floor stands what every desk needs: tables, reads, dispatch and answer, suggestions. Each capability has a room
of its own: clocks, catalogue, answers, duty, relations, supervision and learning (docs/floor-plan.md).
"""
