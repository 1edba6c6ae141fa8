/*
 * Between the model's files: the tree and its placeholders (model_files.c), requests (model_requests.c), the ring (model.c).
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NATIVE_MODEL_PRIVATE_H
#define INLAY_NATIVE_MODEL_PRIVATE_H

#include "model.h"

enum model_here { HERE_NOTHING, HERE_LOCAL, HERE_PLACEHOLDER, HERE_DIRECTORY, HERE_GOING };

bool model_same(const WCHAR *a, const WCHAR *b);
void model_copy(WCHAR *to, const WCHAR *from);
bool model_has_parent(struct model *model, const WCHAR *path);
bool model_is_child(const WCHAR *path, const WCHAR *directory);
void model_rename(struct model *model, struct model_file *file, const WCHAR *to);

enum model_here model_here(struct model *model, const WCHAR *path);
NTSTATUS model_place(struct model *model, const struct model_file *file);
void model_displace(struct model *model, const WCHAR *path);

/* Whether an OPEN must wait: its name is about to change. */
bool model_is_held(struct model *model, const struct inlay_ring_request *request);
/* The answer to a request that has one. */
void model_answer(struct model *model, const struct inlay_ring_request *request, struct inlay_ring_completion *ret);

#endif
