/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program and its input as one stream out of a port of the guest's virtio-serial controller. The guest sees such a
 * port within milliseconds. A disk is a new PCI device: on an emulated CPU the kernel takes a second for it, and
 * through its agent half a megabyte takes a second, too. What comes is believed as far as the agent is: whoever can
 * feed the port owns the guest.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "hypervisor/ops.h"

#define BLOCK      (64u << 10)
#define BLOCK_TEXT "64k"
#define BLOCKS_MAX 64
#define COPY_SIZE  (1u << 20)
#define FIND_TRIES "50"
/* Of the script, where it has started nothing. */
#define NOT_SEEN   120
#define NOT_SEEN_S "120"
#define NOT_PUT    121
#define NOT_PUT_S  "121"

/*
 * $1 is where the program goes, $2 how many blocks it has, the others are its arguments. Each program that is started
 * costs the guest a tenth of a second, so there are two: dd, which is told to fill its blocks, since a port gives a
 * page at a time, and chmod. The port stays open: what it has given is lost with the descriptor. A host that is not
 * known to be there yet reads as an end, after which dd is started again.
 *
 * A program that is there is replaced in one step, durably: a boot may have to start it. One that ends as the script
 * does where it has put nothing, without a word, wants to be taken for that.
 */
static const char script[] =
	"umask 077; t=$1; n=$2; shift 2; d=${t%/*}; o=$t; c=; i=0; p=\n"
	/* Without its driver no port will come. */
	"[ -d /sys/class/virtio-ports ] || exit " NOT_SEEN_S "\n"
	"while :; do\n"
	"for f in /sys/class/virtio-ports/*/name; do "
	"[ -r \"$f\" ] && read -r x <\"$f\" && [ \"$x\" = " PORT_NAME " ] && p=${f%/name} && break 2; done\n"
	"i=$((i+1)); [ $i -lt " FIND_TRIES " ] || exit " NOT_SEEN_S "; sleep 0.1 || sleep 1\n"
	"done\n"
	"p=/dev/${p##*/}; [ -r \"$p\" ] || exit " NOT_SEEN_S "\n"
	"[ -d \"$d\" ] || mkdir -p \"$d\" || exit " NOT_PUT_S "\n"
	"if [ -e \"$t\" ] || [ -L \"$t\" ]; then o=$t.part; c=conv=fsync; "
	"if [ -e \"$o\" ] || [ -L \"$o\" ]; then rm -f \"$o\"; fi; fi\n"
	"{ while [ $i -lt " FIND_TRIES " ]; do i=$((i+1)); "
	"e=$(LC_ALL=C dd bs=" BLOCK_TEXT " \"count=$n\" iflag=fullblock $c \"of=$o\" 2>&1 <&3) || break\n"
	"case $e in 0+0*) sleep 0.1 || sleep 1; continue;; \"$n+0 records in\"*) ;; *) break;; esac\n"
	/* What is no program would be taken for a script of ours. */
	"read -r x <\"$o\"; case $x in ?ELF*|'#!'*) ;; *) break;; esac\n"
	"chmod 0700 \"$o\" || break\n"
	"[ \"$o\" = \"$t\" ] || mv -f \"$o\" \"$t\" || break\n"
	"[ $# -gt 0 ] || exit 0\n"
	"exec \"$t\" \"$@\" <&3 3<&-\n"
	"done; } 3<\"$p\"\n"
	"echo \"$o: not put: $e\" >&2; rm -f \"$o\"; exit " NOT_PUT_S;

static uint64_t blocks_of(size_t size)
{
	return (size + BLOCK - 1) / BLOCK;
}

/* All of `from` behind what is in `to`. */
static struct error *append(int to, const char *path, const char *from_path)
{
	_cleanup_(close_fd) int from = open(from_path, O_RDONLY | O_CLOEXEC);
	_cleanup_(free_ptr) char *buffer = malloc(COPY_SIZE);
	ssize_t n = 0;

	if (!buffer)
		return error_no_memory();
	if (from < 0)
		return error_system(errno, from_path, "cannot open");
	for (;;) {
		struct error *error;

		n = read(from, buffer, COPY_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_system(errno, from_path, "cannot read");
		if (n == 0)
			return NULL;
		error = io_write(to, buffer, (size_t)n, path);
		if (error)
			return error;
	}
}

struct error *vm_stream_write(const char *path, const void *program, size_t size, const char *input_path)
{
	_cleanup_(close_fd) int fd = -1;
	uint64_t whole = blocks_of(size) * BLOCK;
	struct error *error;

	if (size == 0 || blocks_of(size) > BLOCKS_MAX)
		return error_create(ERROR_USAGE, "a program of %zu bytes does not go into a stream", size);
	/* Never the file that a hypervisor may still be reading. */
	if (unlink(path) < 0 && errno != ENOENT)
		return error_system(errno, path, "cannot remove");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_system(errno, path, "cannot create");
	error = io_write(fd, program, size, path);
	if (!error && (ftruncate(fd, (off_t)whole) < 0 || lseek(fd, (off_t)whole, SEEK_SET) < 0))
		error = error_system(errno, path, "cannot write");
	if (!error && input_path)
		error = append(fd, path, input_path);
	if (error)
		unlink(path);
	return error;
}

struct error *vm_stream_plug(struct vm *vm, const char *path, size_t program_size)
{
	struct error *error;

	vm->stream_blocks = 0;
	if (vm->settings.channel == CHANNEL_NONE)
		return error_create(ERROR_UNSUPPORTED, "nothing could be started in the guest");
	error = vm->hypervisor->port_attach(vm, path);
	if (error)
		return error_wrap(error, "no port for a stream into %s", vm->settings.name);
	vm->stream_blocks = blocks_of(program_size);
	return NULL;
}

bool vm_stream_is_plugged(const struct vm *vm)
{
	return vm->stream_blocks > 0;
}

/* What the guest's shell is told; the words stay the caller's. */
static const char **script_words(const char *const *argv, const char *blocks)
{
	static const char *const shell[] = {"/bin/sh", "-c", script, "sh"};
	const char **words;
	size_t n = 0, used = 0;

	while (argv[n])
		n++;
	words = calloc(ARRAY_SIZE(shell) + n + 2, sizeof(*words));
	if (!words)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(shell); i++)
		words[used++] = shell[i];
	words[used++] = argv[0];
	words[used++] = blocks;
	for (size_t i = 1; i < n; i++)
		words[used++] = argv[i];
	return words;
}

struct error *vm_stream_run(struct vm *vm, const char *const *argv, uint64_t timeout_ms, struct channel_result *ret)
{
	_cleanup_(channel_result_deinit) struct channel_result result = {};
	_cleanup_(free_ptr) const char **words = NULL;
	char blocks[24];
	struct error *error;

	if (!vm_stream_is_plugged(vm))
		return error_create(ERROR_UNSUPPORTED, "there is no stream into the guest");
	snprintf(blocks, sizeof(blocks), "%llu", (unsigned long long)vm->stream_blocks);
	/* What has been read of it does not come again. */
	vm->stream_blocks = 0;
	words = script_words(argv, blocks);
	if (!words)
		return error_no_memory();
	error = vm->channel->run(vm, words, -1, timeout_ms, &result);
	if (error)
		return error;
	if (!*result.output && (result.status == NOT_SEEN || result.status == NOT_PUT)) {
		error = error_create(ERROR_UNSUPPORTED, "%s: %.300s",
				     result.status == NOT_SEEN ? "the guest does not see the port"
							       : "the guest could not take the stream",
				     result.errors);
		error_destroy(vm->hypervisor->port_detach(vm));
		return error;
	}
	*ret = result;
	result = (struct channel_result){};
	return NULL;
}
