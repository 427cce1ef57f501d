"""Whole test sets through boards: resumable, over several devices, with figures at the end.

In the order of the data: `data` (samples, quantised), `record` (results on disk), `devices` and
`work` (who runs which sample), `run` (all of it), `figures` and `intervals` (what it comes to),
`document` (the report).
"""
