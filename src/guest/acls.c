/* SPDX-License-Identifier: Apache-2.0 */
/* Access control lists that hang on inodes: for a tmpfs there is no other place where they are. */
#include <string.h>

#include "guest/files.h"
#include "guest/internal.h"

#define ENTRIES_MAX GUEST_ACL_MAX
#define ENTRY_BYTES 32u
#define NOT_CACHED  UINT64_MAX /* ACL_NOT_CACHED; below it by little: somebody looks it up */

struct acl_layout {
	struct member access, otherwise, count, entries, tag, permissions, id;
	uint32_t entry_size;
};

static struct error *load_layout(struct guest *guest, struct acl_layout *l)
{
	const struct member_need needs[] = {
		{"inode", "i_acl", &l->access},        {"inode", "i_default_acl", &l->otherwise},
		{"posix_acl", "a_count", &l->count},   {"posix_acl", "a_entries", &l->entries},
		{"posix_acl_entry", "e_tag", &l->tag}, {"posix_acl_entry", "e_perm", &l->permissions},
		{"posix_acl_entry", "e_uid", &l->id},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	l->entry_size = types_size(guest->types, "posix_acl_entry");
	if (!error && (l->entry_size == 0 || l->entry_size > ENTRY_BYTES))
		error = error_create(ERROR_UNSUPPORTED, "entries of access control lists with %u bytes", l->entry_size);
	return error;
}

DEFINE_LAYOUT_GET(static, get_layout, acl_layout, acls, load_layout)

static struct error *read_entry(struct guest *guest, const struct acl_layout *l, struct gva place,
				struct guest_acl_entry *ret)
{
	uint64_t tag, permissions, id;
	struct error *error = guest_read_member(guest, place, &l->tag, &tag);

	if (!error)
		error = guest_read_member(guest, place, &l->permissions, &permissions);
	if (!error)
		error = guest_read_member(guest, place, &l->id, &id);
	if (!error)
		*ret = (struct guest_acl_entry){(uint16_t)tag, (uint16_t)permissions, (uint32_t)id};
	return error;
}

struct error *guest_file_acl(struct guest *guest, const struct guest_file *file, bool otherwise, struct guest_acl *ret)
{
	const struct acl_layout *l = NULL;
	uint64_t address, count;
	struct error *error = get_layout(guest, &l);

	ret->n = 0;
	if (error)
		return error;
	error = guest_read_member(guest, (struct gva){file->inode_address}, otherwise ? &l->otherwise : &l->access,
				  &address);
	if (error || address == 0 || address > NOT_CACHED - 4096)
		return error;
	error = guest_read_member(guest, (struct gva){address}, &l->count, &count);
	if (!error && count > ENTRIES_MAX)
		error = error_create(ERROR_FORMAT, "%s: an access control list of %llu entries", file->name,
				     (unsigned long long)count);
	for (uint32_t i = 0; !error && i < count; i++)
		error = read_entry(guest, l, (struct gva){address + l->entries.offset + (uint64_t)i * l->entry_size},
				   &ret->entries[i]);
	if (!error)
		ret->n = count;
	return error;
}
