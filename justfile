# A developer's day, for https://just.systems; each line works as well without it. CONTRIBUTING.md tells more.

# Every test without virtual machines.
quick *ARGS:
    scripts/test --quick {{ARGS}}

# What CI runs.
test *ARGS:
    scripts/test {{ARGS}}

# One test by its name, in one package: just one burin-plan ambiguous
one PACKAGE NAME:
    cargo nextest run --package {{PACKAGE}} {{NAME}} --no-capture

# One scene in a virtual machine: just vm raid
vm NAME:
    scripts/test -E 'binary(vm) & test({{NAME}})'

# Write anew what is generated: schemas, tables in docs/, recorded answers.
bless:
    BURIN_BLESS=1 cargo nextest run --workspace -E 'test(/schema|documents|docs/)'

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
