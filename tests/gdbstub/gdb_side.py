# The beginning of every script that gdb runs; see Bench.gdb().  LINES is set.
import contextlib
import json
import time

import gdb

gdb.execute("set pagination off")
gdb.execute("set confirm off")


def quiet(command):
    return gdb.execute(command, to_string=True)


@contextlib.contextmanager
def mark(name):
    """What is sent inside is GdbRun.packets(name); time_NAME is said."""
    quiet(f"maint packet vMark;{name}")
    begun = time.monotonic()
    yield
    spent = time.monotonic() - begun
    quiet(f"maint packet vMark;end-{name}")
    say(**{f"time_{name}": spent})


def say(**values):
    print("@@ " + json.dumps(values), flush=True)


def value(what):
    return int(gdb.parse_and_eval(what))


def line():
    return gdb.selected_frame().find_sal().line


def function():
    return gdb.selected_frame().name()


def pc():
    return gdb.selected_frame().pc()


def to_line(name):
    """Run to a marked line."""
    quiet(f"tbreak loop.c:{LINES[name]}")
    quiet("continue")
    if line() != LINES[name]:
        raise gdb.GdbError(f"stopped in line {line()}, not in {LINES[name]}")


def interrupted(command):
    """Run a command that SIGINT ends; whether gdb saw the target's SIGINT."""
    seen = []
    handler = lambda event: seen.append(getattr(event, "stop_signal", ""))
    gdb.events.stop.connect(handler)
    with contextlib.suppress(KeyboardInterrupt):
        quiet(command)
    gdb.events.stop.disconnect(handler)
    return seen == ["SIGINT"]


def done():
    print("@@done", flush=True)
