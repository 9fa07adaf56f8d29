//! Composition: config, build, supervise; performs the effects the cores ask for (L3).
