# SPDX-License-Identifier: GPL-2.0-or-later
# Manual pages of the programs; included by Makefile.am.
man_pages = docs/man/kemarid.8 docs/man/kemarictl.8 docs/man/fence_kemari.8 \
	docs/man/kemari-mced.8 docs/man/kemari.conf.5
man_MANS += $(man_pages)
CLEANFILES += $(man_pages)

$(man_pages): Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	$(edit) $(srcdir)/$@.in >$@.tmp && mv $@.tmp $@
docs/man/kemarid.8: docs/man/kemarid.8.in
docs/man/kemarictl.8: docs/man/kemarictl.8.in
docs/man/kemari.conf.5: docs/man/kemari.conf.5.in
docs/man/fence_kemari.8: docs/man/fence_kemari.8.in
docs/man/kemari-mced.8: docs/man/kemari-mced.8.in
