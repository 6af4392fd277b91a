"""A rival in Python: rival.py WAY KIND SIZE IN_FLIGHT. See package foreign for what it reads and writes."""

import datetime
import sys
import time


def sample(number):
    """The struct of record.Sample."""
    return {
        "id": number,
        "name": "resize the picture",
        "tags": ["image", "urgent", "customer"],
        "attrs": {"format": "webp", "owner": "gallery", "region": "eu-central"},
        "score": 0.8125,
        "when": datetime.datetime.fromtimestamp(1_700_000_000.123456, datetime.timezone.utc),
        "blob": bytes(7 * i % 256 for i in range(64)),
    }


def shape(kind, size):
    """How a message that carries a number is made, and how the number is read."""
    if kind == "struct":
        return sample, lambda v: v["id"]
    return (
        lambda number: number.to_bytes(8, "little") + bytes(size - 8),
        lambda v: int.from_bytes(v[:8], "little"),
    )


PLAIN, LAST, QUIT = 0, 1, 2


def serve(kind, size, send, recv):
    """The child: counts messages and answers the last one of a run, or answers each."""
    make, number = shape(kind, size)
    count = 0
    while True:
        v = recv()
        n = number(v)
        if n == QUIT:
            return
        if kind == "echo":
            send(v)
            continue
        count += 1
        if n == LAST:
            send(make(count))
            count = 0


def stream(kind, size, send, recv):
    make, number = shape(kind, size)
    message, last = make(PLAIN), make(LAST)

    def run(n):
        began = time.perf_counter_ns()
        for _ in range(n - 1):
            send(message)
        send(last)
        got = number(recv())
        took = time.perf_counter_ns() - began
        if got != n:
            sys.exit(f"the child has got {got} messages of {n}")
        return (took,)

    return run


def echo(size, send, recv):
    make, _ = shape("echo", size)
    message = make(PLAIN)

    def run(n):
        times = []
        began = start = time.perf_counter_ns()
        for _ in range(n):
            send(message)
            recv()
            now = time.perf_counter_ns()
            times.append(now - start)
            start = now
        times.sort()
        return start - began, times[(n * 50 + 99) // 100 - 1], times[(n * 99 + 99) // 100 - 1]

    return run


def turns(once):
    def run(n):
        began = time.perf_counter_ns()
        for _ in range(n):
            once()
        return (time.perf_counter_ns() - began,)

    return run


def answer(run):
    """Answers each line of standard input."""
    print("ready", flush=True)
    for line in sys.stdin:
        print(*run(int(line)), flush=True)


def converse(kind, size, send, recv, join):
    answer(echo(size, send, recv) if kind == "echo" else stream(kind, size, send, recv))
    send(shape(kind, size)[0](QUIT))
    join()


# Each way below is a function of its own at the top of the module, so that it can be a child's, too.


def connection_ends(kind, c):
    return (c.send, c.recv) if kind == "struct" else (c.send_bytes, c.recv_bytes)


def connection_child(kind, size, c):
    serve(kind, size, *connection_ends(kind, c))


def connection_once(c):
    c.send_bytes(c.recv_bytes())


def connection(kind, size, _):
    import multiprocessing as mp

    if kind == "spawn":

        def once():
            mine, theirs = mp.Pipe()
            p = mp.Process(target=connection_once, args=(theirs,))
            p.start()
            theirs.close()
            mine.send_bytes(b"one message")
            mine.recv_bytes()
            p.join()
            mine.close()

        return answer(turns(once))
    mine, theirs = mp.Pipe()
    p = mp.Process(target=connection_child, args=(kind, size, theirs))
    p.start()
    theirs.close()
    converse(kind, size, *connection_ends(kind, mine), p.join)


def queue_child(kind, size, there, back):
    serve(kind, size, back.put, there.get)


def queue(kind, size, _):
    import multiprocessing as mp

    there, back = mp.Queue(), mp.Queue()
    p = mp.Process(target=queue_child, args=(kind, size, there, back))
    p.start()
    converse(kind, size, there.put, back.get, p.join)


def gipc_child(kind, size, handle):
    serve(kind, size, handle.put, handle.get)


def gipc_once(handle):
    handle.put(handle.get())


def gipc_pipe(kind):
    import gipc

    return gipc.pipe(duplex=True) if kind == "struct" else gipc.pipe(duplex=True, encoder=None, decoder=None)


def gipc(kind, size, _):
    import gipc

    if kind == "spawn":

        def once():
            with gipc_pipe(kind) as (theirs, mine):
                p = gipc.start_process(gipc_once, args=(theirs,))
                mine.put(b"one message")
                mine.get()
                p.join()

        return answer(turns(once))
    with gipc_pipe(kind) as (theirs, mine):
        p = gipc.start_process(gipc_child, args=(kind, size, theirs))
        converse(kind, size, mine.put, mine.get, p.join)


def nothing(_):
    return None


def executor(kind, size, in_flight):
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor() as pool:

        def run(n):
            began = time.perf_counter_ns()
            under_way = []
            for i in range(n):
                if i < in_flight:
                    under_way.append(pool.submit(nothing, b""))
                else:
                    under_way[i % in_flight].result()
                    under_way[i % in_flight] = pool.submit(nothing, b"")
            for f in under_way:
                f.result()
            return (time.perf_counter_ns() - began,)

        run(100)
        answer(run)


if __name__ == "__main__":
    way, kind, size, in_flight = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    {"connection": connection, "queue": queue, "gipc": gipc, "executor": executor}[way](kind, size, in_flight)
