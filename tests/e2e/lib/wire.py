# The protocol as a raw client or server may speak it, badly too: frames by hand, fields from the schema itself.
# SPDX-License-Identifier: Apache-2.0
import os
import re
import struct

from harness import ROOT, Failed, connect

REQUEST, REPLY, EVENT = 1, 2, 3
NO_SLOT = 0xFFFFFFFF
HEADER = struct.Struct("<IHBBIIQII")  # size type kind flags slot status seq body lane


def read_schema():
    text = re.sub(r"\\\n", " ", open(os.path.join(ROOT, "src/wire/schema.h")).read())
    numbers = {m[1]: int(m[3]) for m in re.finditer(r"M\((\w+),\s*(\w+),\s*(\d+),", text)}
    fields = {}
    for name, body in re.findall(r"#define INLAY_(\w+_RE[QP])\(F\)(.*)", text):
        alias = re.match(r"\s*INLAY_(\w+_RE[QP])\(F\)", body)
        fields[name] = fields[alias[1]] if alias else re.findall(r'F\((\w+), (\w+), "', body)
    if len(numbers) < 30 or len(fields) < 60:
        raise Failed("the schema can't be read")
    return numbers, fields


NUMBERS, FIELDS = read_schema()
STATUSES = {int(n): name for name, n in re.findall(r"S\((\w+), (\d+),", open(os.path.join(ROOT, "src/base/status.h")).read())}


def pad(data):
    return data + bytes(-len(data) % 8)


def encode(fields, values):
    """Missing fields are zero. A value of bytes is taken as it stands wherever it is given for a number."""
    out = b""
    for kind, name in fields:
        v = values.get(name)
        if kind in ("U32", "U64"):
            out += v if isinstance(v, bytes) else struct.pack("<I" if kind == "U32" else "<Q", v or 0)
        elif kind == "NODE":
            out += v or bytes(40)
        elif kind == "UUID":
            out += v or bytes(16)
        elif kind == "TIME":
            out += struct.pack("<qII", *(v or (0, 0)), 0)
        elif kind == "LEASE":
            out += struct.pack("<II", 0, 0)
        elif kind == "CRED":
            uid, gid, groups = v or (0, 0, [])
            out += pad(struct.pack("<IIII", uid, gid, len(groups), 0) + struct.pack(f"<{len(groups)}I", *groups))
        elif kind in ("NAME", "STR"):
            v = v.encode() if isinstance(v, str) else v or b""
            out += pad(struct.pack("<I", len(v)) + v)
        elif kind == "ATTR":
            out += v or bytes(128)
        else:
            raise Failed(f"unknown kind of field: {kind}")
    return pad(out)


def decode(fields, data):
    values, at = {}, 0
    for kind, name in fields:
        if kind == "U32":
            values[name], at = struct.unpack_from("<I", data, at)[0], at + 4
        elif kind == "U64":
            values[name], at = struct.unpack_from("<Q", data, at)[0], at + 8
        elif kind in ("NODE", "UUID", "ATTR", "TIME", "LEASE"):
            size = {"NODE": 40, "UUID": 16, "ATTR": 128, "TIME": 16, "LEASE": 8}[kind]
            values[name], at = data[at:at + size], at + size
        else:
            size = struct.unpack_from("<I", data, at)[0]
            values[name], at = data[at + 4:at + 4 + size], at + (4 + size + 7) // 8 * 8
    return values


class Frame:
    def __init__(self, header, body, data):
        self.size, self.type, self.kind, self.flags, self.slot, self.status, self.seq, _, self.lane = header
        self.body, self.data = body, data


def frame(type_, kind=REQUEST, flags=0, slot=NO_SLOT, status=0, seq=0, body=b"", data=b"", lane=0, size=None, body_len=None):
    return HEADER.pack(HEADER.size + len(body) + len(data) if size is None else size, type_, kind, flags, slot, status, seq,
                       len(body) if body_len is None else body_len, lane) + body + data


class Stream:
    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def take(self, count):
        while len(self.buffer) < count:
            part = self.sock.recv(1 << 20)
            if not part:
                raise EOFError("the other end has closed")
            self.buffer += part
        out, self.buffer = self.buffer[:count], self.buffer[count:]
        return out

    def next(self):
        header = HEADER.unpack(self.take(HEADER.size))
        rest = self.take(header[0] - HEADER.size)
        return Frame(header, rest[:header[7]], rest[header[7]:])


class Client(Stream):
    """A session with one lane, as a real client opens it."""

    def __init__(self, address, export="e", hello=True, timeout=10, cred=(0, 0, [])):
        super().__init__(connect(address, timeout))
        self.cred, self.export, self.seqs = cred, export, {}
        if hello:
            self.hello()

    def hello(self, **changes):
        values = {"version_min": 1, "version_max": 1, "client": os.urandom(16), "slots": 16, "max_data": 1 << 20,
                  "export": self.export, "host": "test", **changes}
        self.sock.sendall(frame(NUMBERS["HELLO"], body=encode(FIELDS["HELLO_REQ"], values), seq=1))
        reply = self.next()
        if reply.status:
            raise Failed(f"HELLO: {STATUSES.get(reply.status, reply.status)}")
        self.greeting = decode(FIELDS["HELLO_REP"], reply.body)
        self.root = self.greeting["root"]

    def send(self, message, slot=0, data=b"", **values):
        values.setdefault("cred", self.cred)
        self.seqs[slot] = self.seqs.get(slot, 0) + 1
        self.sock.sendall(frame(NUMBERS[message], slot=slot, seq=self.seqs[slot], data=data,
                                body=encode(FIELDS[f"{message}_REQ"], values)))

    def call(self, message, data=b"", **values):
        """Returns (status name or "OK", fields, payload)."""
        self.send(message, data=data, **values)
        while True:
            reply = self.next()
            if reply.kind == REPLY:
                break
        if reply.status:
            return STATUSES.get(reply.status, str(reply.status)), {}, b""
        return "OK", decode(FIELDS[f"{message}_REP"], reply.body), reply.data

    def walk(self, *names):
        node = self.root
        for name in names:
            status, fields, _ = self.call("LOOKUP", dir=node, name=name)
            if status != "OK":
                return status
            node = fields["node"]
        return node

    def alive(self):
        try:
            return self.call("GETATTR", node=self.root)[0] == "OK"
        except (EOFError, OSError):
            return False

    def close(self):
        self.sock.close()
