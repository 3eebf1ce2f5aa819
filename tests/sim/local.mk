# SPDX-License-Identifier: GPL-2.0-or-later
# The simulator over kemarid/core; see tests/sim/README.md.
sim_sources = tests/sim/sim.h tests/sim/world.c tests/sim/node.c \
	tests/sim/group.c tests/sim/engine.c tests/sim/stream.c \
	tests/sim/operator.c tests/sim/action.c tests/sim/alone.c \
	tests/sim/faults.c tests/sim/rules.c \
	$(kemari_core_sources)
check_PROGRAMS += tests/sim/random tests/sim/explore
tests_sim_random_SOURCES = tests/sim/random.c $(sim_sources)
tests_sim_random_CFLAGS = $(AM_CFLAGS) -O2
tests_sim_explore_SOURCES = tests/sim/explore.c $(sim_sources)
tests_sim_explore_CFLAGS = $(AM_CFLAGS) -O2
TESTS += tests/sim/check
EXTRA_DIST += tests/sim/check tests/sim/seeds tests/sim/README.md
