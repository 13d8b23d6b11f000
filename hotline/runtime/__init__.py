"""The machine room: private servers and child processes for a machine that has nothing but Python.

`PrivatePostgres` and `PrivateBroker` start, stop and recover; `children` keeps processes that must not
outlive us; `accounts` decides as whom they run.
"""
