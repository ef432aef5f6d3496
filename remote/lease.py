"""The end of a program that runs for months: with its stdin, or when nobody has said anything there for too long.

A connection may die without anybody telling its end here. So the other side sends a byte now and then, and the lease
runs from the last one. As in lifetime.py, a thread watches and SIGKILL to the group ends everything, and SIGALRM
stands behind it.
"""
import posix
from _signal import alarm
from _thread import start_new_thread
from select import select

ALARM_S = 5  # how much later than the lease


def watch_lease(lease_s):
    """Renew the lease with whatever comes on stdin; end everything when nothing does."""
    while True:
        try:
            if not select([0], [], [], lease_s)[0] or not posix.read(0, 4096):
                break
        except OSError:
            break
        alarm(int(lease_s) + ALARM_S)
    kill_group()


def hold_lease(lease_s):
    """Settle, and start the watcher."""
    settle()
    alarm(int(lease_s) + ALARM_S)
    start_new_thread(watch_lease, (lease_s,))
