/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xmltree.h"

#include <string.h>

bool kmr_xml_is(const xmlNode *node, const char *name)
{
    return node && node->type == XML_ELEMENT_NODE && !node->ns &&
           xmlStrEqual(node->name, BAD_CAST name);
}

bool kmr_xml_is_ns(const xmlNode *node, const char *ns, const char *name)
{
    return node && node->type == XML_ELEMENT_NODE && node->ns &&
           xmlStrEqual(node->ns->href, BAD_CAST ns) &&
           xmlStrEqual(node->name, BAD_CAST name);
}

xmlNode *kmr_xml_child(const xmlNode *parent, const char *name)
{
    for (xmlNode *n = parent ? parent->children : NULL; n; n = n->next) {
        if (kmr_xml_is(n, name)) {
            return n;
        }
    }
    return NULL;
}

char *kmr_xml_text(const xmlNode *node)
{
    static const char blanks[] = " \t\r\n";
    xmlChar *content = node ? xmlNodeGetContent(node) : NULL;
    char *start, *end, *ret = NULL;

    if (!content) {
        return NULL;
    }
    start = (char *)content;
    start += strspn(start, blanks);
    end = start + strlen(start);
    while (end > start && strchr(blanks, end[-1])) {
        end--;
    }
    if (end > start) {
        ret = strndup(start, (size_t)(end - start));
    }
    xmlFree(content);
    return ret;
}

bool kmr_xml_prop(const xmlNode *node, const char *attr, char *ret_value,
                  size_t size)
{
    xmlChar *value = node ? xmlGetNoNsProp(node, BAD_CAST attr) : NULL;
    bool ok = value && strlen((char *)value) < size;

    ret_value[0] = '\0';
    if (ok) {
        memcpy(ret_value, value, strlen((char *)value) + 1);
    }
    xmlFree(value);
    return ok;
}

bool kmr_xml_prop_is(const xmlNode *node, const char *attr, const char *value)
{
    xmlChar *have = node ? xmlGetNoNsProp(node, BAD_CAST attr) : NULL;
    bool ret = have && strcmp((char *)have, value) == 0;

    xmlFree(have);
    return ret;
}

int kmr_xml_line(const xmlNode *node)
{
    return node ? (int)xmlGetLineNo(node) : 0;
}
