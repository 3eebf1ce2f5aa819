# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon's adapters to the outside; included by Makefile.am.
kemari_io_sources = \
	kemarid/io/attr.c \
	kemarid/io/attr.h \
	kemarid/io/attrwatch.c \
	kemarid/io/attrwatch.h \
	kemarid/io/check.c \
	kemarid/io/check.h \
	kemarid/io/check_host.c \
	kemarid/io/child.c \
	kemarid/io/child.h \
	kemarid/io/domxml.c \
	kemarid/io/domxml.h \
	kemarid/io/domxml_derive.c \
	kemarid/io/fencewatch.c \
	kemarid/io/fencewatch.h \
	kemarid/io/pidwatch.c \
	kemarid/io/pidwatch.h \
	kemarid/io/post.c \
	kemarid/io/post.h \
	kemarid/io/qmp.c \
	kemarid/io/qmp.h \
	kemarid/io/taps.c \
	kemarid/io/taps.h \
	kemarid/io/uses.c \
	kemarid/io/uses.h \
	kemarid/io/virt.c \
	kemarid/io/virt.h \
	kemarid/io/virt_priv.h \
	kemarid/io/virt_worker.c \
	kemarid/io/virt_loop.c \
	kemarid/io/virt_loop.h \
	kemarid/io/xmltree.c \
	kemarid/io/xmltree.h
# What kemarictl needs of it (`check` works without a kemarid).
kemari_io_check_sources = \
	kemarid/io/check.c \
	kemarid/io/check.h \
	kemarid/io/check_host.c \
	kemarid/io/child.c \
	kemarid/io/child.h \
	kemarid/io/domxml.c \
	kemarid/io/domxml.h \
	kemarid/io/domxml_derive.c \
	kemarid/io/xmltree.c \
	kemarid/io/xmltree.h
