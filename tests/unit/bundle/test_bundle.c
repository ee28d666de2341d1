/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "bundle/bundle.h"
#include "bundle/format.h"
#include "bundle/payload.h"

struct fixture {
	char directory[32];
	struct change_layer layer;
};

static void run(const char *command)
{
	int status = system(command);

	if (status != 0)
		fail_msg("%s: status %d", command, status);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/test-bundle.XXXXXX");
	if (!mkdtemp(f->directory) || chdir(f->directory) < 0 || mkdir("lower", 0755) < 0 || mkdir("upper", 0755) < 0)
		return -1;
	f->layer = (struct change_layer){"/", open("lower", O_PATH | O_DIRECTORY | O_CLOEXEC),
					 open("upper", O_PATH | O_DIRECTORY | O_CLOEXEC), "trusted.overlay."};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->layer.lower_fd);
	close(f->layer.upper_fd);
	if (chdir("/") < 0)
		return -1;
	error_destroy(io_remove_tree(f->directory));
	free(f);
	return 0;
}

/* A small tree of most kinds; "rewritten" has the content and the names it had. */
static void make_tree(void)
{
	run("cd lower; echo same >rewritten; echo old >replaced; mkdir dir gone; echo x >gone/file; echo 1 >deleted");
	run("cd upper; echo same >rewritten; echo new >replaced; mkdir dir; ln -s text dir/link; mkfifo dir/fifo;"
	    "mknod dir/device b 8 17; mknod gone c 0 0; mknod deleted c 0 0; ln replaced dir/hard;"
	    "truncate -s 1M dir/sparse; echo end >>dir/sparse; printf x >\"$(printf 'dir/n\\377\\nl')\";"
	    "setfattr -n user.x -v 0x00ff dir/fifo 2>/dev/null; setfattr -n user.x -v 0x00ff replaced;"
	    "seq 1 20000 >dir/long");
}

#define SOME_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Writes "bundle" out of the fixture's layers. */
static struct error *write_bundle(struct fixture *f)
{
	struct bundle_manifest manifest = {.info = json_pack("{s:s}", "vm", "web1")};
	struct action reload = {.kind = ACTION_SYSTEMD, .verb = strdup("daemon-reload")};
	struct action restart = {.kind = ACTION_SYSTEMD,
				 .verb = strdup("restart"),
				 .unit = strdup("nginx.service"),
				 .package = strdup("nginx")};
	struct action command = {.kind = ACTION_COMMAND, .argv = calloc(3, sizeof(char *))};
	struct action runtime = {.kind = ACTION_RUNTIME,
				 .verb = strdup("write"),
				 .path = strdup("/run/x"),
				 .size = 2,
				 .argv = calloc(3, sizeof(char *))};
	struct error *error;

	command.argv[0] = strdup("sysctl");
	command.argv[1] = strdup("not\xffutf8");
	assert_ok(action_list_append(&manifest.actions, reload));
	assert_ok(action_list_append(&manifest.actions, restart));
	assert_ok(action_list_append(&manifest.actions, command));
	runtime.argv[0] = strdup("absent");
	runtime.argv[1] = strdup("file 0644 0 0 2 " SOME_SHA256);
	runtime.data = (uint8_t *)strdup("\xff\n");
	assert_ok(action_list_append(&manifest.actions, runtime));
	assert_ok(changes_read(&f->layer, 1, NULL, &manifest.changes));
	error = bundle_write("bundle", &manifest, &f->layer, 1, NULL);
	bundle_manifest_deinit(&manifest);
	return error;
}

static void test_round_trip(void **state)
{
	const struct bundle_manifest *manifest;
	struct change_list list;
	struct bundle *bundle;
	struct stat st;

	need_root();
	make_tree();
	assert_ok(write_bundle(*state));
	assert_int_equal(stat("bundle", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_ok(changes_read(&((struct fixture *)*state)->layer, 1, NULL, &list));
	assert_ok(bundle_open("bundle", &bundle));
	assert_ok(bundle_verify(bundle));
	manifest = bundle_manifest(bundle);
	assert_string_equal(json_string_value(json_object_get(manifest->info, "vm")), "web1");
	assert_int_equal(manifest->actions.n, 4);
	assert_int_equal(manifest->actions.items[3].kind, ACTION_RUNTIME);
	assert_int_equal(manifest->actions.items[3].size, 2);
	assert_memory_equal(manifest->actions.items[3].data, "\xff\n", 2);
	assert_string_equal(manifest->actions.items[3].argv[0], "absent");
	assert_string_equal(manifest->actions.items[1].unit, "nginx.service");
	assert_string_equal(manifest->actions.items[1].package, "nginx");
	assert_string_equal(manifest->actions.items[2].argv[1], "not\xffutf8");
	assert_int_equal(manifest->changes.n, list.n);
	for (size_t i = 0; i < list.n; i++) {
		const struct change *a = &list.items[i], *b = &manifest->changes.items[i];

		assert_string_equal(a->path, b->path);
		assert_int_equal(a->kind, b->kind);
		assert_int_equal(a->attributes.mtime_ns, b->attributes.mtime_ns);
		assert_int_equal(a->attributes.n_xattrs, b->attributes.n_xattrs);
		assert_int_equal(a->before.exists, b->before.exists);
		assert_int_equal(a->before.inode, b->before.inode);
		assert_memory_equal(a->before.sha256, b->before.sha256, SHA256_SIZE);
	}
	change_list_deinit(&list);
	bundle_close(bundle);
}

static void test_stock_tools_read_it(void **state)
{
	need_root();
	make_tree();
	assert_ok(write_bundle(*state));
	run("command -v zstd >/dev/null || exit 0; mkdir out; zstd -dc bundle | tar -x -C out --xattrs "
	    "--warning=no-unknown-keyword && "
	    "cmp upper/replaced out/replaced && cmp upper/dir/sparse out/dir/sparse && "
	    "test $(stat -c %b out/dir/sparse) -lt 100 && test -e out/.wh.deleted && test -e out/.wh.gone && "
	    "test $(stat -c %h out/replaced) = 2 && test \"$(readlink out/dir/link)\" = text && "
	    "test \"$(stat -c %y upper/dir/long)\" = \"$(stat -c %y out/dir/long)\"");
}

static struct error *open_and_verify(const char *path)
{
	struct bundle *bundle;
	struct error *error;

	error = bundle_open(path, &bundle);
	if (error)
		return error;
	error = bundle_verify(bundle);
	bundle_close(bundle);
	return error;
}

static bool accepted(const char *data, size_t size)
{
	struct error *error;
	int fd = open("damaged", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_ok(io_write(fd, data, size, "damaged"));
	close(fd);
	error = open_and_verify("damaged");
	if (!error)
		return true;
	assert_int_equal(error->code, ERROR_FORMAT);
	error_destroy(error);
	return false;
}

static size_t layer_end(const char *data, size_t size)
{
	uint64_t layer_size;

	memcpy(&layer_size, data + size - BUNDLE_TRAILER_SIZE + BUNDLE_MAGIC_SIZE + 8, sizeof(layer_size));
	return BUNDLE_FRAME_HEAD_SIZE + BUNDLE_HEADER_SIZE + layer_size;
}

/*
 * Every byte near a frame's border, and some of all others. A few bits of a zstd frame mean
 * nothing (window size, reserved ones): the archive is then still the one of the hash.
 */
static void test_damaged(void **state)
{
	size_t size, end, n = 0, meaningless = 0;
	char *data;

	need_root();
	make_tree();
	assert_ok(write_bundle(*state));
	assert_ok(io_read_file("bundle", 64 << 20, &data, &size));
	end = layer_end(data, size);
	for (size_t i = 0; i < size; i += i < 64 || (i + 64 > end && i < end + 64) || i + 200 > size ? 1 : 97, n++) {
		data[i] ^= 0x20;
		if (accepted(data, size)) {
			/* A few bits inside a zstd frame, the layer's or the manifest's, mean nothing to its decoder.
			 */
			assert_in_range(i, BUNDLE_FRAME_HEAD_SIZE + BUNDLE_HEADER_SIZE,
					size - BUNDLE_FRAME_HEAD_SIZE - BUNDLE_TRAILER_SIZE - 1);
			assert_false(i >= end && i < end + BUNDLE_FRAME_HEAD_SIZE);
			meaningless++;
		}
		data[i] ^= 0x20;
	}
	assert_true(meaningless * 10 < n);
	for (size_t i = 0; i < size; i += i < 64 || (i + 64 > end && i < end + 64) || i + 200 > size ? 1 : 211)
		assert_false(accepted(data, i));
	data = realloc(data, size + 1);
	data[size] = 0;
	assert_false(accepted(data, size + 1));
	free(data);
	assert_error(open_and_verify("absent"), ERROR_NOT_FOUND);
	assert_error(open_and_verify("upper"), ERROR_FORMAT);
}

static void test_reserved_names(void **state)
{
	struct fixture *f = *state;

	need_root();
	run("mkdir upper/d; touch upper/d/.wh.name; echo old >bundle");
	assert_error(write_bundle(f), ERROR_UNSUPPORTED);
	/* The older bundle is as it was, and nothing is left beside it. */
	run("test \"$(cat bundle)\" = old && test $(ls -A | wc -l) = 3");
}

static void test_content_that_changes(void **state)
{
	struct fixture *f = *state;
	struct bundle_manifest manifest = {};

	need_root();
	run("echo 1 >upper/file");
	assert_ok(changes_read(&f->layer, 1, NULL, &manifest.changes));
	run("echo 2 >upper/file");
	assert_error(bundle_write("bundle", &manifest, &f->layer, 1, NULL), ERROR_CONFLICT);
	bundle_manifest_deinit(&manifest);
}

static void test_empty(void **state)
{
	struct bundle_manifest manifest = {};

	assert_ok(bundle_write("bundle", &manifest, NULL, 0, NULL));
	assert_ok(open_and_verify("bundle"));
	bundle_manifest_deinit(&manifest);
}

static const struct payload_entry *find(const struct payload *payload, const char *path)
{
	for (uint32_t i = 0; i < payload->header.n_entries; i++)
		if (strcmp(payload->entries[i].change.path, path) == 0)
			return &payload->entries[i];
	fail_msg("%s is not in the payload", path);
	return NULL;
}

/* A resume that goes on where a killed one was must give the helper the same name, whatever the heap holds. */
static void test_payload_has_one_name(void **state)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	_cleanup_(free_ptr) char *data = NULL;
	uint8_t sha256[SHA256_SIZE], again[SHA256_SIZE];
	struct payload_header header;
	uint64_t size;

	need_root();
	make_tree();
	assert_ok(write_bundle(*state));
	assert_ok(bundle_open("bundle", &bundle));
	assert_ok(bundle_write_payload(bundle, &bundle_manifest(bundle)->actions, "payload", sha256, &size));
	for (size_t filler = 64; filler < 1 << 20; filler *= 2) {
		void *dirt = malloc(filler);

		memset(dirt, 0xa5, filler);
		free(dirt);
		assert_ok(bundle_write_payload(bundle, &bundle_manifest(bundle)->actions, "payload", again, &size));
		assert_memory_equal(sha256, again, SHA256_SIZE);
	}
	assert_ok(io_read_file("payload", 64 << 20, &data, NULL));
	data[PAYLOAD_HEADER_SIZE - 1] = 1;
	assert_error(payload_parse_header((const uint8_t *)data, &header), ERROR_FORMAT);
}

static void test_payload(void **state)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	_cleanup_(payload_deinit) struct payload payload = {};
	_cleanup_(free_ptr) char *data = NULL;
	struct payload_header header;
	const struct payload_entry *entry;
	uint8_t sha256[SHA256_SIZE];
	uint64_t size;
	size_t found;

	need_root();
	make_tree();
	assert_ok(write_bundle(*state));
	assert_ok(bundle_open("bundle", &bundle));
	assert_ok(bundle_write_payload(bundle, &bundle_manifest(bundle)->actions, "payload", sha256, &size));
	assert_ok(io_read_file("payload", 64 << 20, &data, &found));
	assert_int_equal(size, found);
	assert_ok(payload_parse_header((const uint8_t *)data, &header));
	assert_int_equal(payload_content_start(&header) + header.content_size, size);
	assert_ok(payload_parse_index(&header, (const uint8_t *)data + PAYLOAD_HEADER_SIZE, NULL, &payload));
	assert_int_equal(payload.actions.n, 4);
	entry = find(&payload, "rewritten");
	assert_int_equal(entry->change.kind, CHANGE_ATTRIBUTES);
	assert_int_equal(entry->flags, PAYLOAD_ENTRY_REWRITTEN);
	entry = find(&payload, "dir/sparse");
	assert_int_equal(entry->flags, PAYLOAD_ENTRY_SPARSE);
	assert_string_equal(data + payload_content_start(&header) + entry->content_offset + (1 << 20), "end\n");
	entry = find(&payload, "dir/hard");
	assert_int_equal(entry->change.kind, CHANGE_WRITE);
	assert_memory_equal(data + payload_content_start(&header) + entry->content_offset, "new\n", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stock_tools_read_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reserved_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_content_that_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_payload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_payload_has_one_name, setup, teardown),
	};

	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
