/* SPDX-License-Identifier: Apache-2.0 */
/* What is computed from a task's numbers, and command lines out of made memory. */
#include "guest/task.h"
#include "tests/unit/guest/made.h"

static struct member number(uint32_t offset)
{
	return (struct member){.present = true, .offset = offset, .size = 8};
}

static void put(struct object *object, const struct member *member, uint64_t value)
{
	memcpy(object->bytes + member->offset, &value, member->size);
}

static char state_of(uint64_t state, uint64_t exit_state)
{
	static struct process_layout layout;
	struct object task = {0};
	struct guest_task result = {0};

	layout.task.state = number(0);
	layout.task.exit_state = number(8);
	/* What is no priority at all is for the sanitizer. */
	layout.task.static_prio = (struct member){.present = true, .offset = 16, .size = 4};
	put(&task, &layout.task.static_prio, UINT32_C(0x80000064));
	put(&task, &layout.task.state, state);
	put(&task, &layout.task.exit_state, exit_state);
	task_plain_fields(&layout, &task, &result);
	return result.state;
}

static void states(void **state)
{
	const struct {
		uint64_t state, exit_state;
		char wanted;
	} cases[] = {
		{0, 0, 'R'},          {1, 0, 'S'},          {2, 0, 'D'},      {0x104, 0, 'T'},  {0x108, 0, 't'},
		{0x80, 0x20, 'Z'},    {0x80, 0x10, 'X'},    {0x40, 0, 'P'},   {0x402, 0, 'I'},  {0x102, 0, 'D'},
		{0x2402, 0, 'I'},     {0x2001, 0, 'S'},     {0x8000, 0, 'D'}, {0x1000, 0, 'D'}, {0x800, 0, 'R'},
		{0, UINT64_MAX, 'P'}, {UINT64_MAX, 0, 'I'},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(state_of(cases[i].state, cases[i].exit_state), cases[i].wanted);
}

static void assert_times(uint64_t last_user, uint64_t last_system, struct cpu_times sum, uint64_t user, uint64_t system)
{
	const struct times_members members = {.last_user = number(0), .last_system = number(8)};
	struct object object = {0};
	struct guest_task result = {0};

	put(&object, &members.last_user, last_user);
	put(&object, &members.last_system, last_system);
	times_adjust(&object, &members, &sum, &result);
	assert_int_equal(result.user_ns, user);
	assert_int_equal(result.system_ns, system);
}

static void cpu_times(void **state)
{
	const uint64_t huge = UINT64_C(1) << 62;

	assert_times(0, 0, (struct cpu_times){0}, 0, 0);
	/* The exact sum in the proportion of the ticks. */
	assert_times(0, 0, (struct cpu_times){.user = 4, .system = 12, .runtime = 1000}, 250, 750);
	assert_times(0, 0, (struct cpu_times){.user = 0, .system = 0, .runtime = 7}, 7, 0);
	assert_times(0, 0, (struct cpu_times){.user = 5, .system = 0, .runtime = 7}, 7, 0);
	assert_times(0, 0, (struct cpu_times){.user = 0, .system = 5, .runtime = 7}, 0, 7);
	/* Neither goes back. */
	assert_times(10, 800, (struct cpu_times){.user = 4, .system = 12, .runtime = 1000}, 200, 800);
	assert_times(300, 100, (struct cpu_times){.user = 4, .system = 12, .runtime = 1000}, 300, 700);
	assert_times(600, 500, (struct cpu_times){.user = 4, .system = 12, .runtime = 1000}, 600, 500);
	assert_times(0, 0, (struct cpu_times){.user = huge, .system = huge, .runtime = huge}, huge / 2, huge / 2);
}

/* ---- Command lines ---- */

#define ARGUMENTS (KERNEL_BASE + 0x40000) /* in the pages that made.h maps */

struct fixture {
	struct made_guest *made;
	struct guest guest;
	struct process_layout layout;
	struct object mm;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->made = made_guest_create();
	f->layout.mm.arg_start = number(8);
	f->layout.mm.arg_end = number(16);
	f->layout.mm.env_start = number(24);
	f->layout.mm.env_end = number(32);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	made_guest_destroy(f->made);
	free(f);
	return 0;
}

static void set_area(struct fixture *f, uint64_t arguments, uint64_t environment)
{
	put(&f->mm, &f->layout.mm.arg_start, ARGUMENTS);
	put(&f->mm, &f->layout.mm.arg_end, ARGUMENTS + arguments);
	put(&f->mm, &f->layout.mm.env_start, ARGUMENTS + arguments);
	put(&f->mm, &f->layout.mm.env_end, ARGUMENTS + arguments + environment);
}

static void assert_bytes(struct fixture *f, const void *wanted, size_t size)
{
	struct guest_bytes bytes = {0};

	made_guest_open(f->made);
	assert_ok(command_bytes(&f->made->memory, &f->layout, &f->mm, TEXT_MAX, &bytes));
	assert_non_null(bytes.data);
	assert_int_equal(bytes.size, size);
	assert_memory_equal(bytes.data, wanted, size);
	free(bytes.data);
}

static void command_lines(void **state)
{
	struct fixture *f = *state;
	struct guest_bytes bytes = {0};
	char page[4096];

	/* None: neither arguments nor, in a kernel's helper, anything at all. */
	assert_bytes(f, "", 0);
	write_at(f->made, 0x40000, "sh\0-c\0X=1\0", 11);
	set_area(f, 6, 4);
	assert_bytes(f, "sh\0-c\0", 6);
	/* setproctitle within the arguments, and over the environment. */
	write_at(f->made, 0x40000, "sh: title\0", 11);
	assert_bytes(f, "sh: title\0", 10);
	/* At most a page where nothing ends it. */
	memset(page, 't', sizeof(page));
	write_at(f->made, 0x40000, page, sizeof(page));
	write_at(f->made, 0x41000, page, sizeof(page));
	assert_bytes(f, page, sizeof(page));
	/* A part that is not in memory makes it unknown, and too long a one is said. */
	set_area(f, UINT64_C(2) << 20, 4);
	made_guest_open(f->made);
	assert_ok(command_bytes(&f->made->memory, &f->layout, &f->mm, TEXT_MAX, &bytes));
	assert_null(bytes.data);
	set_area(f, UINT64_C(7) << 20, 4);
	assert_error(command_bytes(&f->made->memory, &f->layout, &f->mm, TEXT_MAX, &bytes), ERROR_FORMAT);
	set_area(f, 100, 4);
	assert_error(command_bytes(&f->made->memory, &f->layout, &f->mm, 99, &bytes), ERROR_FORMAT);
	assert_null(bytes.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states),
		cmocka_unit_test(cpu_times),
		cmocka_unit_test_setup_teardown(command_lines, setup, teardown),
	};

	return cmocka_run_group_tests_name("tasks", tests, NULL, NULL);
}
