"""What starts, follows and ends the parts: set-up, the demo, and the servers in the background.

The chain itself lives in ``dags/``; here is only what a person would otherwise do by hand at a terminal.
"""
