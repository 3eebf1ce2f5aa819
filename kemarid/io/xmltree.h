/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_XMLTREE_H
#define KMR_IO_XMLTREE_H

/* A few steps in a libxml2 tree that domxml and check share. NULL nodes are
 * allowed: what isn't there has no children, text or attributes. */

#include <stdbool.h>
#include <stddef.h>

#include <libxml/tree.h>

/* An element of this name without, or with, a namespace. */
bool kmr_xml_is(const xmlNode *node, const char *name);
bool kmr_xml_is_ns(const xmlNode *node, const char *ns, const char *name);

/* The first child element of this name, or NULL. */
xmlNode *kmr_xml_child(const xmlNode *parent, const char *name);

/* Text without the blanks round it; NULL when there is none. free() it. */
char *kmr_xml_text(const xmlNode *node);

/* Does attribute `attr` exist, and is it `value`? */
bool kmr_xml_prop_is(const xmlNode *node, const char *attr, const char *value);

/* Copies an attribute; false (and "") when absent or too long. */
bool kmr_xml_prop(const xmlNode *node, const char *attr, char *ret_value,
                  size_t size);

int kmr_xml_line(const xmlNode *node);

#endif
