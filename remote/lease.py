"""The end of a program that runs for months: with its stdin, or when nobody has said anything there for too long.

A connection may die without anybody telling its end here. So the other side sends a byte now and then, and the lease
runs from the last one. As in lifetime.py, a thread watches and SIGKILL to the group ends everything, and SIGALRM
stands behind it. One that has something to say in the end is told to, by a byte of another kind.
"""
import posix
from _signal import alarm
from _thread import start_new_thread
from select import select

ALARM_S = 5  # how much later than the lease
LAST_WORDS = b"."


def watch_lease(lease_s, words):
    """Renew the lease with whatever comes on stdin; end everything when nothing does."""
    while True:
        try:
            said = select([0], [], [], lease_s)[0] and posix.read(0, 4096)
        except OSError:
            break
        if not said:
            break
        if LAST_WORDS in said:
            words.append(said)
        alarm(int(lease_s) + ALARM_S)
    kill_group()


def hold_lease(lease_s):
    """Settle, and start the watcher; return what is a true value from when on it is to come to an end."""
    words = []
    settle()
    alarm(int(lease_s) + ALARM_S)
    start_new_thread(watch_lease, (lease_s, words))
    return words
