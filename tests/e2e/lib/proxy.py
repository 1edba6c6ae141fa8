# A proxy before the server that breaks connections as networks do: at a chosen byte of a chosen message, or at random; by reset,
# by close, by half a close, by silence; one of several or all; and that lets nobody in for a while.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import random
import socket
import struct
import threading

from harness import Failed
from wire import HEADER, NUMBERS

REQUEST, REPLY = "request", "reply"  # also the names of the two directions


class Fault:
    """Waits for the next message of a type in one direction, lets so many bytes of it through, and then breaks its link."""

    def __init__(self, direction, message, after, how):
        self.direction, self.number, self.after, self.how = direction, NUMBERS[message], after, how
        self.happened = threading.Event()


class Link:
    """One connection of a client and the one to the server that belongs to it."""

    def __init__(self, proxy, client, server):
        self.proxy, self.ends, self.lock, self.silent = proxy, {REQUEST: client, REPLY: server}, threading.Lock(), False
        self.open, self.budget = True, {}
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for direction in (REQUEST, REPLY):
            threading.Thread(target=self.pump, args=(direction,), daemon=True).start()

    def to(self, direction):
        return self.ends[REPLY if direction == REQUEST else REQUEST]

    def pump(self, direction):
        left, buffer = 0, b""  # bytes of the message under way that are to be passed on; a head that isn't whole yet
        try:
            while data := self.ends[direction].recv(1 << 16):
                if self.silent:
                    continue
                data = buffer + data
                buffer = b""
                while data:
                    if left == 0:
                        if len(data) < HEADER.size:
                            buffer = data
                            break
                        size, number = HEADER.unpack_from(data)[:2]
                        fault = self.proxy.fault_for(direction, number)
                        if fault:
                            self.pass_on(direction, data[:min(size, fault.after)])
                            self.end(fault.how, direction)
                            fault.happened.set()
                            if fault.how != "silence":
                                return
                            break
                        left = size
                    self.pass_on(direction, data[:left])
                    taken = min(left, len(data))
                    data, left = data[taken:], left - taken
        except OSError:
            pass
        self.end("close")

    def pass_on(self, direction, data):
        if not data or self.silent:
            return
        left, how = self.budget.get(direction, (None, None))
        if left is not None:
            self.budget[direction] = (max(0, left - len(data)), how)
            data = data[:left]
        if data:
            self.to(direction).sendall(data)
        if left is not None and len(data) == left:
            self.end(how, direction)
            raise OSError("the budget is spent")

    def end(self, how, direction=REPLY):
        """how: reset and close end it both ways; half only the way to who waits; silence: nothing comes through any more."""
        if how == "silence":
            self.silent = True
            return
        if how == "half":
            with contextlib.suppress(OSError):
                self.to(direction).shutdown(socket.SHUT_WR)
            return
        with self.lock:
            if not self.open:
                return
            self.open = False
        self.proxy.forget(self)
        for s in self.ends.values():
            with contextlib.suppress(OSError):
                if how == "reset":
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)
            s.close()


class Proxy:
    def __init__(self, t, address):
        host, port = address.rsplit(":", 1)
        self.target, self.lock, self.links, self.fault, self.shut = (host, int(port)), threading.Lock(), [], None, False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()
        t.undo.append(self.end_all)

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            try:
                if self.shut:
                    raise OSError
                server = socket.create_connection(self.target, 5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.links.append(Link(self, client, server))

    def forget(self, link):
        with self.lock:
            if link in self.links:
                self.links.remove(link)

    def fault_for(self, direction, number):
        with self.lock:
            fault = self.fault
            if fault and fault.direction == direction and fault.number == number:
                self.fault = None
                return fault
        return None

    def arm(self, direction, message, after=0, how="reset"):
        """Breaks the link of the next such message, after so many of its bytes. Returns the fault; see happened()."""
        with self.lock:
            self.fault = Fault(direction, message, after, how)
            return self.fault

    def happened(self, fault):
        if not fault.happened.wait(10):
            raise Failed(f"no {fault.direction} {fault.number} came by")

    def some(self, count=None):
        """That many links, all without a number."""
        with self.lock:
            links = list(self.links)
        return links if count is None else random.sample(links, min(count, len(links)))

    def break_some(self, how, count=None):
        """Ends them. Returns how many."""
        links = self.some(count)
        for link in links:
            link.end(how)
        return len(links)

    def cut_after(self, direction, count, how):
        """Ends one link after so many more bytes of one direction."""
        for link in self.some(1):
            link.budget[direction] = (count, how)

    def end_all(self):
        self.shut = True
        self.break_some("reset")
