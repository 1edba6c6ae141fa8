-- Wireshark dissector for Inlay's protocol: every frame and field, status names, malformed frames marked.
-- Use: tshark -X lua_script:inlay.lua, or copy it to Wireshark's folder of Lua plug-ins.
-- What stands between the marker lines comes from the codec's schema: tools/update-protocol-doc.
-- SPDX-License-Identifier: Apache-2.0

-- generated tables: begin
local FRAME_HEADER, BODY_MAX, DATA_MAX = 32, 32768, 1048576
local NAME_MAX, STR_MAX, GROUPS_MAX = 255, 16384, 1024
local statuses = {
	[0] = "OK",
	[1] = "PERM (operation not permitted)",
	[2] = "NOENT (no such file or directory)",
	[3] = "INTR (interrupted)",
	[4] = "IO (input/output error)",
	[5] = "NXIO (no such device or address)",
	[6] = "TOOBIG (argument too long)",
	[7] = "BADF (bad file handle)",
	[8] = "AGAIN (would block)",
	[9] = "NOMEM (out of memory)",
	[10] = "ACCES (permission denied)",
	[11] = "BUSY (resource busy)",
	[12] = "EXIST (file exists)",
	[13] = "XDEV (crosses file systems or sides)",
	[14] = "NODEV (no such device)",
	[15] = "NOTDIR (not a directory)",
	[16] = "ISDIR (is a directory)",
	[17] = "INVAL (invalid argument)",
	[18] = "NFILE (too many open files in system)",
	[19] = "MFILE (too many open files)",
	[20] = "TXTBSY (text file busy)",
	[21] = "FBIG (file too large)",
	[22] = "NOSPC (no space left)",
	[23] = "SPIPE (illegal seek)",
	[24] = "ROFS (read-only file system)",
	[25] = "MLINK (too many links)",
	[26] = "PIPE (broken pipe)",
	[27] = "RANGE (result too large for the buffer)",
	[28] = "DEADLK (deadlock avoided)",
	[29] = "NAMETOOLONG (name too long)",
	[30] = "NOLCK (no locks available)",
	[31] = "NOSYS (not implemented)",
	[32] = "NOTEMPTY (directory not empty)",
	[33] = "LOOP (too many symbolic links)",
	[34] = "NODATA (no such attribute)",
	[35] = "OVERFLOW (value too large)",
	[36] = "NOTSUP (operation not supported)",
	[37] = "DQUOT (quota exceeded)",
	[38] = "STALE (stale file identity)",
	[39] = "TIMEDOUT (timed out)",
	[40] = "CONNREFUSED (connection refused)",
	[41] = "NOTCONN (not connected)",
	[42] = "CONNRESET (connection reset)",
	[43] = "HOSTUNREACH (host unreachable)",
	[44] = "CANCELED (canceled)",
	[45] = "PROTO (protocol violation)",
	[46] = "VERSION (no common protocol version)",
	[47] = "NOEXPORT (no such export)",
	[48] = "NOSESSION (session unknown or expired)",
	[49] = "QUEUED (lock is held; waiting was noted)",
	[50] = "LIMIT (limit reached)",
	[51] = "UNKNOWN (unknown error)",
}
local messages = {
	[1] = {
		name = "HELLO", event = false, request_data = false, reply_data = false,
		request = {
			{"U32", "version_min", "oldest protocol version the client speaks"},
			{"U32", "version_max", "newest protocol version the client speaks"},
			{"U64", "features", "feature bits the client knows"},
			{"UUID", "client", "the client process, random"},
			{"UUID", "session", "session to join or resume; zero for a new one"},
			{"UUID", "previous", "with a new one: the session that was lost, to reclaim what it had; zero for none"},
			{"U32", "lane", "which of the session's connections this is, from 0"},
			{"U32", "slots", "slots wanted on this lane"},
			{"U32", "max_data", "largest payload the client takes"},
			{"U32", "flags", "zero"},
			{"STR", "export", "name of the export"},
			{"STR", "host", "client's host and program, for logs and status"}
		},
		reply = {
			{"U32", "version", "chosen protocol version"},
			{"U32", "slots", "slots granted on this lane, numbered from 0"},
			{"U64", "features", "feature bits both ends know"},
			{"UUID", "session", "the session's id"},
			{"UUID", "boot", "of the server's host: differs when what was not synced may be lost"},
			{"U32", "resumed", "1: slots and handles of this lane live on; 0: the lane is new"},
			{"U32", "lanes", "most lanes of a session"},
			{"U32", "max_data", "largest payload the server takes"},
			{"U32", "lease_ms", "a session not heard from for so long is over"},
			{"U32", "export_flags", "1 read-only, 2 identity=client, 4 wants FORGET"},
			{"U32", "pad", "zero"},
			{"NODE", "root", "the export's root directory"},
			{"ATTR", "attr", "its attributes"},
			{"STR", "server", "server's program and version"},
			{"STR", "rules", "suggested rules, one a line"}
		},
	},
	[2] = {
		name = "PING", event = false, request_data = false, reply_data = false,
		request = {},
		reply = {},
	},
	[3] = {
		name = "BYE", event = false, request_data = false, reply_data = false,
		request = {},
		reply = {},
	},
	[16] = {
		name = "LOOKUP", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "dir", "directory"},
			{"CRED", "cred", "caller"},
			{"NAME", "name", "name in it"}
		},
		reply = {
			{"NODE", "node", "what the name stands for"},
			{"ATTR", "attr", "its attributes"},
			{"LEASE", "lease", "lease on node and entry"}
		},
	},
	[17] = {
		name = "GETATTR", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "file"},
			{"U64", "handle", "open file, 0 for none"}
		},
		reply = {
			{"ATTR", "attr", "attributes"},
			{"LEASE", "lease", "lease on the node"}
		},
	},
	[18] = {
		name = "SETATTR", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "file"},
			{"U64", "handle", "open file, 0 for none"},
			{"CRED", "cred", "caller"},
			{"U32", "valid", "1 mode, 2 uid, 4 gid, 8 size, 16 atime, 32 mtime, 64 atime now, 128 mtime now, 256 kill privileges"},
			{"U32", "mode", "permissions"},
			{"U32", "uid", "owner"},
			{"U32", "gid", "group"},
			{"U64", "size", "bytes"},
			{"TIME", "atime", "access time"},
			{"TIME", "mtime", "modification time"}
		},
		reply = {
			{"ATTR", "attr", "attributes afterwards"},
			{"U32", "flags", "4 shared, with a size"},
			{"U32", "pad", "zero"}
		},
	},
	[19] = {
		name = "ACCESS", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "file"},
			{"CRED", "cred", "caller"},
			{"U32", "mask", "1 execute, 2 write, 4 read"},
			{"U32", "pad", "zero"}
		},
		reply = {},
	},
	[20] = {
		name = "READLINK", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "symbolic link"}
		},
		reply = {
			{"STR", "target", "what it points at"}
		},
	},
	[21] = {
		name = "OPEN", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "regular file"},
			{"CRED", "cred", "caller"},
			{"U32", "flags", "INLAY_O_*"},
			{"U32", "inline_max", "reserved: most bytes of content wanted with the answer; zero"}
		},
		reply = {
			{"U64", "handle", "open file"},
			{"ATTR", "attr", "attributes"},
			{"LEASE", "lease", "lease on the node"},
			{"U64", "token", "for REOPEN"}
		},
	},
	[22] = {
		name = "CREATE", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "dir", "directory"},
			{"CRED", "cred", "caller"},
			{"U32", "flags", "INLAY_O_*"},
			{"U32", "mode", "permissions"},
			{"U32", "umask", "caller's umask"},
			{"U32", "pad", "zero"},
			{"NAME", "name", "name"}
		},
		reply = {
			{"NODE", "node", "the file"},
			{"U64", "handle", "open file"},
			{"ATTR", "attr", "attributes"},
			{"LEASE", "lease", "lease on the node"},
			{"U64", "token", "for REOPEN"}
		},
	},
	[23] = {
		name = "TMPFILE", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "dir", "directory"},
			{"CRED", "cred", "caller"},
			{"U32", "flags", "INLAY_O_*"},
			{"U32", "mode", "permissions"},
			{"U32", "umask", "caller's umask"},
			{"U32", "pad", "zero"}
		},
		reply = {
			{"NODE", "node", "the file"},
			{"U64", "handle", "open file"},
			{"ATTR", "attr", "attributes"},
			{"LEASE", "lease", "lease on the node"},
			{"U64", "token", "for REOPEN"}
		},
	},
	[24] = {
		name = "MKDIR", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "dir", "directory"},
			{"CRED", "cred", "caller"},
			{"U32", "mode", "permissions"},
			{"U32", "umask", "caller's umask"},
			{"NAME", "name", "new name"}
		},
		reply = {
			{"NODE", "node", "what the name stands for"},
			{"ATTR", "attr", "its attributes"},
			{"LEASE", "lease", "lease on node and entry"}
		},
	},
	[25] = {
		name = "MKNOD", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "dir", "directory"},
			{"CRED", "cred", "caller"},
			{"U32", "mode", "type and permissions"},
			{"U32", "umask", "caller's umask"},
			{"U32", "rdev_major", "device number, major"},
			{"U32", "rdev_minor", "device number, minor"},
			{"NAME", "name", "new name"}
		},
		reply = {
			{"NODE", "node", "what the name stands for"},
			{"ATTR", "attr", "its attributes"},
			{"LEASE", "lease", "lease on node and entry"}
		},
	},
	[26] = {
		name = "SYMLINK", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "dir", "directory"},
			{"CRED", "cred", "caller"},
			{"NAME", "name", "new name"},
			{"STR", "target", "1 to 4095 bytes"}
		},
		reply = {
			{"NODE", "node", "what the name stands for"},
			{"ATTR", "attr", "its attributes"},
			{"LEASE", "lease", "lease on node and entry"}
		},
	},
	[27] = {
		name = "LINK", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "existing file"},
			{"U64", "handle", "an open handle of it, 0 for none"},
			{"NODE", "dir", "directory"},
			{"CRED", "cred", "caller"},
			{"NAME", "name", "new name"}
		},
		reply = {
			{"ATTR", "attr", "attributes afterwards"}
		},
	},
	[28] = {
		name = "UNLINK", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "dir", "directory"},
			{"CRED", "cred", "caller"},
			{"NAME", "name", "name to remove"}
		},
		reply = {},
	},
	[29] = {
		name = "RMDIR", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "dir", "directory"},
			{"CRED", "cred", "caller"},
			{"NAME", "name", "name to remove"}
		},
		reply = {},
	},
	[30] = {
		name = "RENAME", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "from_dir", "old directory"},
			{"NODE", "to_dir", "new directory"},
			{"CRED", "cred", "caller"},
			{"U32", "flags", "1 no replace, 2 exchange, 4 whiteout"},
			{"U32", "pad", "zero"},
			{"NAME", "from", "old name"},
			{"NAME", "to", "new name"}
		},
		reply = {},
	},
	[31] = {
		name = "READ", event = false, request_data = false, reply_data = true,
		request = {
			{"U64", "handle", "open file"},
			{"U64", "off", "byte offset"},
			{"U32", "len", "bytes, at most max_data"},
			{"U32", "flags", "zero"}
		},
		reply = {
			{"U32", "zeros", "zero bytes after the payload"},
			{"U32", "pad", "zero"}
		},
	},
	[32] = {
		name = "WRITE", event = false, request_data = true, reply_data = false,
		request = {
			{"U64", "handle", "open file"},
			{"U64", "off", "byte offset; ignored with INLAY_O_APPEND, but for flag 16"},
			{"U32", "flags", "1 data sync, 2 file sync, 4 kill privileges, 8 zeros, 16 at the offset"},
			{"U32", "zeros", "with flag 8: bytes"}
		},
		reply = {
			{"U64", "verifier", "first half of HELLO's boot, to compare with COMMIT's"},
			{"U64", "size", "file size afterwards; of an append: its end"},
			{"U32", "count", "bytes written"},
			{"U32", "flags", "1 data is durable, 2 file is durable, 4 shared: see Sent again"},
			{"U64", "modified", "server's clock afterwards, in ns: the file's modification time is not later"}
		},
	},
	[33] = {
		name = "COMMIT", event = false, request_data = false, reply_data = false,
		request = {
			{"U64", "handle", "open file or directory"},
			{"U32", "flags", "1 data only"},
			{"U32", "pad", "zero"}
		},
		reply = {
			{"U64", "verifier", "first half of HELLO's boot"}
		},
	},
	[34] = {
		name = "CLOSE", event = false, request_data = false, reply_data = false,
		request = {
			{"U64", "handle", "open file or directory; its locks go with it"}
		},
		reply = {},
	},
	[35] = {
		name = "OPENDIR", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "directory"},
			{"CRED", "cred", "caller"}
		},
		reply = {
			{"U64", "handle", "open directory"},
			{"U64", "token", "for REOPEN"}
		},
	},
	[36] = {
		name = "READDIR", event = false, request_data = false, reply_data = true,
		request = {
			{"U64", "handle", "open directory"},
			{"U64", "cookie", "0, or that of the last entry seen"},
			{"U32", "max", "payload bytes at most"},
			{"U32", "flags", "1 with node and attributes"}
		},
		reply = {
			{"U32", "count", "entries in the payload"},
			{"U32", "eof", "1: the listing ends here"}
		},
	},
	[37] = {
		name = "STATFS", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "any file"}
		},
		reply = {
			{"U64", "blocks", "of frsize bytes"},
			{"U64", "bfree", "free"},
			{"U64", "bavail", "free for users"},
			{"U64", "files", "inodes"},
			{"U64", "ffree", "free inodes"},
			{"U32", "bsize", "bytes of a good transfer"},
			{"U32", "frsize", "bytes of a block"},
			{"U32", "namelen", "bytes of a name"},
			{"U32", "pad", "zero"}
		},
	},
	[38] = {
		name = "SYNCFS", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "any file"}
		},
		reply = {},
	},
	[39] = {
		name = "GETXATTR", event = false, request_data = false, reply_data = true,
		request = {
			{"NODE", "node", "file"},
			{"CRED", "cred", "caller"},
			{"U32", "max", "bytes wanted at most; 0 asks for the size"},
			{"U32", "pad", "zero"},
			{"STR", "name", "1-255 bytes"}
		},
		reply = {
			{"U32", "size", "bytes of the value"},
			{"U32", "pad", "zero"}
		},
	},
	[40] = {
		name = "SETXATTR", event = false, request_data = true, reply_data = false,
		request = {
			{"NODE", "node", "file"},
			{"CRED", "cred", "caller"},
			{"U32", "flags", "1 create, 2 replace, 4 kill set-group-id"},
			{"U32", "pad", "zero"},
			{"STR", "name", "1-255 bytes"}
		},
		reply = {},
	},
	[41] = {
		name = "LISTXATTR", event = false, request_data = false, reply_data = true,
		request = {
			{"NODE", "node", "file"},
			{"CRED", "cred", "caller"},
			{"U32", "max", "bytes wanted at most; 0 asks for the size"},
			{"U32", "pad", "zero"}
		},
		reply = {
			{"U32", "size", "bytes of all names, each with its NUL"},
			{"U32", "pad", "zero"}
		},
	},
	[42] = {
		name = "REMOVEXATTR", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "file"},
			{"CRED", "cred", "caller"},
			{"STR", "name", "1-255 bytes"}
		},
		reply = {},
	},
	[43] = {
		name = "FALLOCATE", event = false, request_data = false, reply_data = false,
		request = {
			{"U64", "handle", "open file"},
			{"U64", "off", "byte offset"},
			{"U64", "len", "bytes"},
			{"U32", "mode", "bits of fallocate(2)"},
			{"U32", "flags", "4 kill privileges"}
		},
		reply = {
			{"U64", "modified", "as of WRITE: see Sent again"},
			{"U32", "flags", "4 shared"},
			{"U32", "pad", "zero"}
		},
	},
	[44] = {
		name = "SEEK", event = false, request_data = false, reply_data = false,
		request = {
			{"U64", "handle", "open file"},
			{"U64", "off", "byte offset"},
			{"U32", "whence", "0 data, 1 hole"},
			{"U32", "pad", "zero"}
		},
		reply = {
			{"U64", "off", "byte offset found"}
		},
	},
	[45] = {
		name = "COPY", event = false, request_data = false, reply_data = false,
		request = {
			{"U64", "from", "open file"},
			{"U64", "from_off", "byte offset"},
			{"U64", "to", "open file"},
			{"U64", "to_off", "byte offset"},
			{"U64", "len", "bytes"},
			{"U32", "flags", "zero"},
			{"U32", "pad", "zero"}
		},
		reply = {
			{"U64", "count", "bytes copied; may be fewer than asked"}
		},
	},
	[46] = {
		name = "LOCK", event = false, request_data = false, reply_data = false,
		request = {
			{"U64", "handle", "open file"},
			{"U64", "owner", "who locks"},
			{"U64", "start", "first byte"},
			{"U64", "end", "last byte, 2^63-1 for the end of file"},
			{"U32", "kind", "0 POSIX, 1 flock"},
			{"U32", "type", "0 read, 1 write, 2 unlock"},
			{"U32", "pid", "for TESTLOCK"},
			{"U32", "flags", "1 wait, 2 reclaim"}
		},
		reply = {},
	},
	[47] = {
		name = "TESTLOCK", event = false, request_data = false, reply_data = false,
		request = {
			{"U64", "handle", "open file"},
			{"U64", "owner", "who asks"},
			{"U64", "start", "first byte"},
			{"U64", "end", "last byte"},
			{"U32", "kind", "0 POSIX, 1 flock"},
			{"U32", "type", "0 read, 1 write"}
		},
		reply = {
			{"U64", "start", "first byte of the lock in the way"},
			{"U64", "end", "last byte"},
			{"U32", "type", "0 read, 1 write, 2 none in the way"},
			{"U32", "pid", "its holder"}
		},
	},
	[48] = {
		name = "LOCK_CANCEL", event = false, request_data = false, reply_data = false,
		request = {
			{"U64", "handle", "open file"},
			{"U64", "owner", "who waited"},
			{"U32", "kind", "0 POSIX, 1 flock"},
			{"U32", "pad", "zero"}
		},
		reply = {},
	},
	[49] = {
		name = "FORGET", event = false, request_data = true, reply_data = false,
		request = {
			{"U32", "count", "entries in the payload"},
			{"U32", "pad", "zero"}
		},
		reply = {},
	},
	[50] = {
		name = "LEASE_RETURN", event = false, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "file"},
			{"LEASE", "lease", "what is kept"}
		},
		reply = {},
	},
	[51] = {
		name = "REOPEN", event = false, request_data = false, reply_data = false,
		request = {
			{"U64", "handle", "handle in the lost session; good in this one from now on"},
			{"NODE", "node", "the file"},
			{"CRED", "cred", "caller; directories only"},
			{"U32", "flags", "INLAY_O_* of the first opening, less EXCL, TRUNC and KILL_PRIV"},
			{"U32", "kind", "0 regular file, 1 directory"},
			{"U64", "token", "from the first opening's reply"}
		},
		reply = {},
	},
	[52] = {
		name = "RECLAIM_DONE", event = false, request_data = false, reply_data = false,
		request = {},
		reply = {},
	},
	[64] = {
		name = "EVENT_LOCK", event = true, request_data = false, reply_data = false,
		request = {
			{"U64", "handle", "open file of the waiter"},
			{"U64", "owner", "the waiter"},
			{"U32", "kind", "0 POSIX, 1 flock"},
			{"U32", "pad", "zero"}
		},
		reply = {},
	},
	[65] = {
		name = "EVENT_RECALL", event = true, request_data = false, reply_data = false,
		request = {
			{"NODE", "node", "file"},
			{"LEASE", "lease", "what may be kept"}
		},
		reply = {},
	},
}
-- generated tables: end

local inlay = Proto("inlay", "Inlay")
local kinds = {[1] = "request", [2] = "reply", [3] = "event"}
local names = {}
for number, message in pairs(messages) do
	names[number] = message.name
end

local f = {
	size = ProtoField.uint32("inlay.size", "Size"),
	type = ProtoField.uint16("inlay.type", "Message", base.DEC, names),
	kind = ProtoField.uint8("inlay.kind", "Kind", base.DEC, kinds),
	flags = ProtoField.uint8("inlay.flags", "Flags", base.HEX),
	replay = ProtoField.bool("inlay.flags.replay", "Replay", 8, nil, 1),
	redo = ProtoField.bool("inlay.flags.redo", "Redo", 8, nil, 2),
	prior = ProtoField.uint32("inlay.prior", "Sequence in the lost session"),
	slot = ProtoField.uint32("inlay.slot", "Slot"),
	status = ProtoField.uint32("inlay.status", "Status", base.DEC, statuses),
	seq = ProtoField.uint64("inlay.seq", "Sequence"),
	body_len = ProtoField.uint32("inlay.body_len", "Body bytes"),
	lane = ProtoField.uint32("inlay.lane", "Lost session's slot and tag"),
	payload = ProtoField.bytes("inlay.payload", "Payload"),
	time_sec = ProtoField.int64("inlay.time.sec", "Seconds"),
	time_nsec = ProtoField.uint32("inlay.time.nsec", "Nanoseconds"),
	lease_kind = ProtoField.uint32("inlay.lease.kind", "Kind", base.DEC, {[0] = "none", [1] = "read", [2] = "write"}),
	lease_term = ProtoField.uint32("inlay.lease.term_ms", "Term in ms"),
	cred_uid = ProtoField.uint32("inlay.cred.uid", "User"),
	cred_gid = ProtoField.uint32("inlay.cred.gid", "Group"),
	cred_count = ProtoField.uint32("inlay.cred.count", "Groups"),
	cred_group = ProtoField.uint32("inlay.cred.group", "Supplementary group"),
	attr_ino = ProtoField.uint64("inlay.attr.ino", "Inode number"),
	attr_size = ProtoField.uint64("inlay.attr.size", "Size"),
	attr_blocks = ProtoField.uint64("inlay.attr.blocks", "Blocks of 512 bytes"),
	attr_change = ProtoField.uint64("inlay.attr.change", "Change"),
	attr_atime = ProtoField.bytes("inlay.attr.atime", "Access time"),
	attr_mtime = ProtoField.bytes("inlay.attr.mtime", "Modification time"),
	attr_ctime = ProtoField.bytes("inlay.attr.ctime", "Change time"),
	attr_btime = ProtoField.bytes("inlay.attr.btime", "Birth time"),
	attr_mode = ProtoField.uint32("inlay.attr.mode", "Mode", base.OCT),
	attr_nlink = ProtoField.uint32("inlay.attr.nlink", "Links"),
	attr_uid = ProtoField.uint32("inlay.attr.uid", "User"),
	attr_gid = ProtoField.uint32("inlay.attr.gid", "Group"),
	attr_rdev_major = ProtoField.uint32("inlay.attr.rdev_major", "Device, major"),
	attr_rdev_minor = ProtoField.uint32("inlay.attr.rdev_minor", "Device, minor"),
	attr_blksize = ProtoField.uint32("inlay.attr.blksize", "Block size"),
}
for _, field in pairs(f) do
	table.insert(inlay.fields, field)
end

local malformed = ProtoExpert.new("inlay.malformed", "Malformed frame", expert.group.MALFORMED, expert.severity.ERROR)
local failed = ProtoExpert.new("inlay.failed", "Request failed", expert.group.RESPONSE_CODE, expert.severity.NOTE)
inlay.experts = {malformed, failed}

-- Message fields: inlay.<message>.<field>; of a name that has another type in the reply, the reply's ends in _reply.
local make = {
	U32 = function(abbrev, name, text) return ProtoField.uint32(abbrev, name, base.DEC, nil, nil, text) end,
	U64 = function(abbrev, name, text) return ProtoField.uint64(abbrev, name, base.DEC, nil, nil, text) end,
	NAME = function(abbrev, name, text) return ProtoField.string(abbrev, name, base.UNICODE, text) end,
}
make.STR = make.NAME
local function make_bytes(abbrev, name, text)
	return ProtoField.bytes(abbrev, name, base.NONE, text)
end

local made = {}
local function add_fields(message, rows, is_reply)
	for _, row in ipairs(rows) do
		local kind, name, text = row[1], row[2], row[3]
		local abbrev = "inlay." .. message.name:lower() .. "." .. name
		if is_reply and made[abbrev] and made[abbrev].kind ~= kind then
			abbrev = abbrev .. "_reply"
		end
		if not made[abbrev] then
			local field = (make[kind] or make_bytes)(abbrev, name, text)
			made[abbrev] = {kind = kind, field = field}
			table.insert(inlay.fields, field)
		end
		row.field = made[abbrev].field
	end
end
for _, message in pairs(messages) do
	add_fields(message, message.request, false)
	add_fields(message, message.reply, true)
end

-- Each type's reader: adds the field at `at`, returns where the next one starts; nil and why when it can't be.
local read = {}

local function padded(len)
	return math.floor((len + 7) / 8) * 8
end

local function zeros(body, from, to)
	for i = from, to - 1 do
		if body(i, 1):uint() ~= 0 then
			return false
		end
	end
	return true
end

local function fixed(size)
	return function(body, at, tree, row)
		if at + size > body:len() then
			return nil, "ends within " .. row[2]
		end
		local value = body(at, size)
		if size > 8 then
			tree:add(row.field, value)
		else
			tree:add_le(row.field, value)
		end
		if row[2] == "pad" and not zeros(body, at, at + size) then
			return nil, "pad is not zero"
		end
		return at + size
	end
end
read.U32, read.U64, read.NODE, read.UUID = fixed(4), fixed(8), fixed(40), fixed(16)

local function add_time(body, at, tree, field, label)
	local sec, nsec = body(at, 8):le_int64(), body(at + 8, 4):le_uint()
	local item = tree:add(field, body(at, 16))
	local text = string.format("%s.%09d", tostring(sec), nsec)
	local small = sec:tonumber()

	if small >= 0 and small < 2 ^ 33 then
		text = text .. os.date("!, %Y-%m-%d %H:%M:%S UTC", small)
	end
	item:set_text(label .. ": " .. text)
	item:add_le(f.time_sec, body(at, 8))
	item:add_le(f.time_nsec, body(at + 8, 4))
	return nsec < 1000000000 and zeros(body, at + 12, at + 16)
end

function read.TIME(body, at, tree, row)
	if at + 16 > body:len() then
		return nil, "ends within " .. row[2]
	end
	if not add_time(body, at, tree, row.field, row[2]) then
		return nil, row[2] .. " is no time"
	end
	return at + 16
end

local attr_u64 = {"ino", "size", "blocks", "change"}
local attr_time = {"atime", "mtime", "ctime", "btime"}
local attr_u32 = {"mode", "nlink", "uid", "gid", "rdev_major", "rdev_minor", "blksize"}

function read.ATTR(body, at, tree, row)
	if at + 128 > body:len() then
		return nil, "ends within " .. row[2]
	end
	local item = tree:add(row.field, body(at, 128))
	local ok = zeros(body, at + 124, at + 128)
	item:set_text(row[2])
	for i, name in ipairs(attr_u64) do
		item:add_le(f["attr_" .. name], body(at + 8 * (i - 1), 8))
	end
	for i, name in ipairs(attr_time) do
		ok = add_time(body, at + 32 + 16 * (i - 1), item, f["attr_" .. name], name) and ok
	end
	for i, name in ipairs(attr_u32) do
		item:add_le(f["attr_" .. name], body(at + 96 + 4 * (i - 1), 4))
	end
	if not ok then
		return nil, row[2] .. " holds no time or is not zero at its end"
	end
	return at + 128
end

function read.LEASE(body, at, tree, row)
	if at + 8 > body:len() then
		return nil, "ends within " .. row[2]
	end
	local item = tree:add(row.field, body(at, 8))
	item:set_text(row[2])
	item:add_le(f.lease_kind, body(at, 4))
	item:add_le(f.lease_term, body(at + 4, 4))
	return at + 8
end

function read.CRED(body, at, tree, row)
	if at + 16 > body:len() then
		return nil, "ends within " .. row[2]
	end
	local count = body(at + 8, 4):le_uint()
	local size = 16 + padded(4 * count)
	if count > GROUPS_MAX or at + size > body:len() then
		return nil, row[2] .. " has too many groups"
	end
	local item = tree:add(row.field, body(at, size))
	item:set_text(string.format("%s: user %d, group %d, %d more", row[2], body(at, 4):le_uint(), body(at + 4, 4):le_uint(),
		count))
	item:add_le(f.cred_uid, body(at, 4))
	item:add_le(f.cred_gid, body(at + 4, 4))
	item:add_le(f.cred_count, body(at + 8, 4))
	for i = 1, count do
		item:add_le(f.cred_group, body(at + 12 + 4 * i, 4))
	end
	if not zeros(body, at + 12, at + 16) or not zeros(body, at + 16 + 4 * count, at + size) then
		return nil, row[2] .. " is not padded with zeros"
	end
	return at + size
end

local function text_reader(least, most)
	return function(body, at, tree, row, info)
		if at + 4 > body:len() then
			return nil, "ends within " .. row[2]
		end
		local len = body(at, 4):le_uint()
		local size = padded(4 + len)
		if len < least or len > most or at + size > body:len() then
			return nil, row[2] .. " has a bad length"
		end
		if len > 0 then
			tree:add_packet_field(row.field, body(at + 4, len), ENC_UTF_8)
			if len <= NAME_MAX then
				info[#info + 1] = row[2] .. "=" .. body(at + 4, len):string(ENC_UTF_8)
			end
		else
			tree:add(row.field, body(at, 4), "")
		end
		if not zeros(body, at + 4 + len, at + size) then
			return nil, row[2] .. " is not padded with zeros"
		end
		return at + size
	end
end
read.NAME, read.STR = text_reader(1, NAME_MAX), text_reader(0, STR_MAX)

local function add_body(body, tree, rows, info)
	local at, why = 0, nil

	for _, row in ipairs(rows) do
		at, why = read[row[1]](body, at, tree, row, info)
		if not at then
			return why
		end
	end
	if at ~= body:len() then
		return "bytes behind the last field"
	end
end

-- What no frame may be; nil for a good one. `tvb` holds a header at least.
local function header_fault(tvb)
	local size, kind, body = tvb(0, 4):le_uint(), tvb(6, 1):uint(), tvb(24, 4):le_uint()
	local message = messages[tvb(4, 2):le_uint()]

	if size < FRAME_HEADER or size > FRAME_HEADER + BODY_MAX + DATA_MAX then
		return "size out of range"
	elseif not message then
		return "unknown message"
	elseif not kinds[kind] or message.event ~= (kind == 3) then
		return "kind doesn't fit the message"
	elseif body % 8 ~= 0 or body > BODY_MAX or body > size - FRAME_HEADER then
		return "body out of range"
	end
	local redo = kind == 1 and tvb(7, 1):uint() >= 2
	if tvb(7, 1):uint() > (kind == 1 and 3 or 0) or (not redo and tvb(28, 4):le_uint() ~= 0) then
		return "reserved bits are set"
	elseif kind ~= 2 and not redo and tvb(12, 4):le_uint() ~= 0 then
		return "status in what is no reply"
	elseif kind == 2 and tvb(12, 4):le_uint() ~= 0 and size ~= FRAME_HEADER then
		return "content in a reply that failed"
	end
	local data = size - FRAME_HEADER - body
	if data > DATA_MAX or (data > 0 and not message[kind == 1 and "request_data" or "reply_data"]) then
		return "payload out of range"
	end
end

local function add_header(tvb, tree)
	tree:add_le(f.size, tvb(0, 4))
	tree:add_le(f.type, tvb(4, 2))
	tree:add_le(f.kind, tvb(6, 1))
	tree:add_le(f.flags, tvb(7, 1)):add(f.replay, tvb(7, 1)):add(f.redo, tvb(7, 1))
	tree:add_le(f.slot, tvb(8, 4))
	if tvb(6, 1):uint() == 1 and tvb(7, 1):uint() >= 2 then
		tree:add_le(f.prior, tvb(12, 4))
	else
		tree:add_le(f.status, tvb(12, 4))
	end
	tree:add_le(f.seq, tvb(16, 8))
	tree:add_le(f.body_len, tvb(24, 4))
	tree:add_le(f.lane, tvb(28, 4))
end

local function dissect_good(tvb, tree, info)
	local message, kind = messages[tvb(4, 2):le_uint()], tvb(6, 1):uint()
	local slot, status, body_len = tvb(8, 4):le_uint(), tvb(12, 4):le_uint(), tvb(24, 4):le_uint()
	local fault

	info[1] = message.name .. " " .. kinds[kind]
	if slot ~= 0xffffffff then
		info[#info + 1] = "slot=" .. slot
	end
	if status ~= 0 and kind == 2 then
		info[#info + 1] = (statuses[status] or "status " .. status):gsub(" .*", "")
		tree:add_proto_expert_info(failed, message.name .. ": " .. (statuses[status] or "status " .. status))
		return
	end
	if body_len > 0 then
		fault = add_body(tvb(FRAME_HEADER, body_len):tvb(), tree, kind == 2 and message.reply or message.request, info)
	elseif #(kind == 2 and message.reply or message.request) > 0 then
		fault = "body is missing"
	end
	if tvb:len() > FRAME_HEADER + body_len then
		tree:add(f.payload, tvb(FRAME_HEADER + body_len))
	end
	return fault
end

local function dissect_frame(tvb, pinfo, root)
	local tree = root:add(inlay, tvb())
	local info, fault = {"malformed"}, "shorter than a header"

	if tvb:len() >= FRAME_HEADER then
		add_header(tvb, tree)
		fault = header_fault(tvb)
		if not fault and tvb:len() >= tvb(0, 4):le_uint() then
			fault = dissect_good(tvb, tree, info)
		end
	end
	if fault then
		info[#info + 1] = "[" .. fault .. "]"
		tree:add_proto_expert_info(malformed, "Malformed frame: " .. fault)
	end
	tree:append_text(", " .. table.concat(info, " "))
	pinfo.cols.info:append(table.concat(info, " ") .. "; ")
	return tvb:len()
end

-- A stream whose frame has an impossible size can't be followed: what is there is shown as one bad frame.
local function frame_length(tvb, _, at)
	local size = tvb(at, 4):le_uint()

	if size < FRAME_HEADER or size > FRAME_HEADER + BODY_MAX + DATA_MAX then
		return tvb:len() - at
	end
	return size
end

function inlay.dissector(tvb, pinfo, root)
	pinfo.cols.protocol = "Inlay"
	pinfo.cols.info = ""
	dissect_tcp_pdus(tvb, root, 4, frame_length, dissect_frame, true)
	return tvb:len()
end

local function looks_ours(tvb, pinfo, root)
	if tvb:len() < FRAME_HEADER or header_fault(tvb) then
		return false
	end
	pinfo.conversation = inlay
	inlay.dissector(tvb, pinfo, root)
	return true
end

DissectorTable.get("tcp.port"):add(4652, inlay)
inlay:register_heuristic("tcp", looks_ours)
