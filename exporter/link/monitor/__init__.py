"""The monitor: what a device says and does, as a stream of events that views and recordings share.

watch (a port) or recording (a file) -> events -> plain lines, the live view, a recording.

tap and meter count bytes, listener only hears, poll asks; picture is the state that events add up
to, panels and view draw it, plain prints it.
"""
