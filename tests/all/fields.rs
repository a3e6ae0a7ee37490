//! Every configuration field has a test that observes its effect, or a line here that says why it has none yet.

/// File systems, binaries, methods, modules.
mod entries;
/// What a line under `imports` enables.
mod imports;
/// Hosts, the configuration of the runtime, options of the command line.
mod program;
/// Arguments, environment, folder and time of a guest.
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use wippy::process::Exit;

use super::support::{Said, fixture, hash_of, run_in};

/// What observes a field.
enum Seen {
    /// A test of this binary.
    By(&'static str),
    /// Typed from now on; its effect comes with what is named.
    Later(&'static str),
}

use Seen::{By, Later};

const ENDPOINTS: Seen = Later("HTTP endpoints: functions that answer requests");

/// Every field of a typed entry and of `meta.command`, by the struct of the source that has it; `*` is all of them.
const FIELDS: &[(&str, &str, Seen)] = &[
    ("Command", "name", By("a_list_as_json")),
    ("Command", "short", By("a_list_as_json")),
    ("Command", "main", Later("packs, which have a default command")),
    ("Condition", "*", By("what_is_known_of_the_actor_and_of_the_deed_decides")),
    ("Dependency", "component", By("a_dependency_gives_a_module_what_it_requires")),
    ("Dependency", "version", Later("resolving versions: the lock file decides today")),
    ("Dependency", "parameters", By("a_dependency_gives_a_module_what_it_requires")),
    ("EnvStorageFile", "file_path", By("variables_come_from_every_kind_of_storage")),
    ("EnvStorageFile", "auto_create", By("a_missing_file_of_variables_is_empty_when_it_may_be_made")),
    ("EnvStorageFile", "file_mode", By("a_file_of_variables_is_made_with_the_modes_of_its_entry")),
    ("EnvStorageFile", "dir_mode", By("a_file_of_variables_is_made_with_the_modes_of_its_entry")),
    ("EnvStorageRouter", "storages", By("variables_come_from_every_kind_of_storage")),
    ("EnvStorageStatic", "values", By("variables_come_from_every_kind_of_storage")),
    ("EnvVariable", "storage", By("variables_come_from_every_kind_of_storage")),
    ("EnvVariable", "variable", By("variables_come_from_every_kind_of_storage")),
    ("EnvVariable", "default", By("variables_come_from_every_kind_of_storage")),
    ("EnvVariable", "readonly", By("a_read_only_variable_is_not_changed")),
    ("FsDirectory", "directory", By("a_relative_directory_starts_at_the_application")),
    ("FsDirectory", "root", By("a_relative_directory_starts_at_the_application")),
    ("FsDirectory", "mode", By("the_owners_bits_gate_what_a_guest_does")),
    ("FsDirectory", "auto_init", By("a_missing_directory_is_made_when_that_is_wanted")),
    ("FsDirectory", "base", By("a_directory_of_a_module_starts_at_the_module")),
    ("Lifecycle", "auto_start", By("only_what_starts_by_itself_or_is_required_is_started")),
    ("Lifecycle", "startup", By("what_is_required_refuses_the_start_and_what_is_optional_is_tried_again")),
    ("Lifecycle", "requires", By("only_what_starts_by_itself_or_is_required_is_started")),
    ("Lifecycle", "start_timeout", By("a_start_waits_for_room_as_long_as_its_timeout")),
    ("Lifecycle", "stop_timeout", By("five_services_live_and_end_as_documented")),
    ("Lifecycle", "stable_threshold", By("a_stable_run_begins_from_the_first_delay")),
    ("Lifecycle", "restart", By("delays_grow_as_the_restart_block_says")),
    ("Lifecycle", "security", By("a_service_acts_as_its_entry_says_and_others_as_their_host")),
    ("LimitsSpec", "max_execution", By("wall_time_is_limited_in_both_spellings")),
    ("LimitsSpec", "max_cpu", By("only_time_in_steps_is_cpu_time")),
    ("LimitsSpec", "max_step", By("a_slice_is_as_long_as_was_asked_for")),
    ("LimitsSpec", "max_fuel", By("fuel_is_the_same_at_each_run")),
    ("LimitsSpec", "max_memory", By("memory_grows_up_to_its_limit")),
    ("LimitsSpec", "max_stack", By("a_stack_is_of_the_class_that_has_what_was_asked_for")),
    ("LimitsSpec", "max_instances", By("instances_and_tables_are_counted")),
    ("LimitsSpec", "max_tables", By("instances_and_tables_are_counted")),
    ("LimitsSpec", "max_handles", By("handles_end_at_their_limit")),
    ("LimitsSpec", "max_output", By("output_ends_at_its_limit")),
    ("LimitsSpec", "max_open_sockets", By("open_sockets_end_at_their_limit")),
    ("LimitsSpec", "max_open_files", By("open_files_end_at_their_limit")),
    ("LuaSpec", "source", By("rust_calls_scripts")),
    ("LuaSpec", "method", By("rust_calls_scripts")),
    ("LuaSpec", "modules", By("the_sandbox_has_what_it_may_and_nothing_else")),
    ("LuaSpec", "imports", By("the_sandbox_has_what_it_may_and_nothing_else")),
    ("LuaSpec", "pool", By("a_script_has_the_slots_of_its_pool")),
    ("LuaSpec", "isolation", By("a_vm_is_kept_where_that_is_wanted")),
    ("LuaSpec", "limits", By("a_call_ends_at_its_limits")),
    ("MailboxSpec", "max_messages", By("bounds_of_a_mailbox_refuse_what_they_do_not_take_and_lose_nothing")),
    ("MailboxSpec", "max_bytes", By("bounds_of_a_mailbox_refuse_what_they_do_not_take_and_lose_nothing")),
    ("MailboxSpec", "drop_oldest", By("bounds_of_a_mailbox_refuse_what_they_do_not_take_and_lose_nothing")),
    ("Mount", "fs", By("a_component_sees_its_mounts_in_the_order_of_their_paths")),
    ("Mount", "guest", By("a_component_sees_its_mounts_in_the_order_of_their_paths")),
    ("Mount", "read_only", By("no_component_leaves_its_mounts")),
    ("NetworkRules", "*", By("rules_decide_whom_a_guest_talks_to")),
    ("Parameter", "name", By("a_dependency_gives_a_module_what_it_requires")),
    ("Parameter", "value", By("a_dependency_gives_a_module_what_it_requires")),
    ("PeerRules", "spawn", By("nothing_is_started_that_is_not_listed")),
    ("PeerRules", "hosts", By("hosts_are_the_own_one_or_those_that_are_listed")),
    ("PeerRules", "signal", By("children_are_signalled_and_nobody_else_without_leave")),
    ("PolicySpec", "actions", By("a_policy_that_denies_wins")),
    ("PolicySpec", "resources", By("a_policy_that_denies_wins")),
    ("PolicySpec", "effect", By("a_policy_that_denies_wins")),
    ("PolicySpec", "test", By("what_is_known_of_the_actor_and_of_the_deed_decides")),
    ("PolicySpec", "groups", By("a_service_acts_as_its_entry_says_and_others_as_their_host")),
    ("Pool", "kind", By("a_pool_has_the_slots_that_its_numbers_say")),
    ("Pool", "size", By("a_pool_has_the_slots_that_its_numbers_say")),
    ("Pool", "workers", By("a_pool_has_the_slots_that_its_numbers_say")),
    ("Pool", "buffer", By("a_buffer_bounds_the_calls_that_wait")),
    ("Pool", "max_size", By("a_pool_has_the_slots_that_its_numbers_say")),
    ("Pool", "warm_start", Later("nothing: accepted, as Wippy does")),
    ("ProcessHost", "workers", By("a_host_has_the_workers_it_asks_for")),
    ("ProcessHost", "queue_size", Later("nothing: a hint for a queue that grows by itself")),
    ("ProcessHost", "local_queue_size", Later("nothing: a hint for a queue that grows by itself")),
    ("ProcessHost", "max_processes", By("a_full_host_refuses_or_lets_wait")),
    ("ProcessHost", "max_queued", By("a_full_host_refuses_or_lets_wait")),
    ("ProcessHost", "allow_preempt_none", By("only_a_host_that_allows_it_takes_a_guest_without_checks")),
    ("ProcessHost", "default_limits", By("entry_host_and_spawn_settle_a_limit_together")),
    ("ProcessHost", "limits", By("entry_host_and_spawn_settle_a_limit_together")),
    ("ProcessHost", "mailbox", By("bounds_of_a_mailbox_refuse_what_they_do_not_take_and_lose_nothing")),
    ("ProcessHost", "lifecycle", By("each_kind_of_host_has_its_time_to_stop")),
    ("ProcessService", "process", By("five_services_live_and_end_as_documented")),
    ("ProcessService", "host", By("five_services_live_and_end_as_documented")),
    ("ProcessService", "input", By("a_stable_run_begins_from_the_first_delay")),
    ("ProcessService", "lifecycle", By("five_services_live_and_end_as_documented")),
    ("Requirement", "default", By("a_dependency_gives_a_module_what_it_requires")),
    ("Requirement", "targets", By("a_dependency_gives_a_module_what_it_requires")),
    ("RestartPolicy", "policy", By("a_policy_decides_which_ends_are_followed_by_a_start")),
    ("RestartPolicy", "initial_delay", By("delays_grow_as_the_restart_block_says")),
    ("RestartPolicy", "max_delay", By("delays_grow_as_the_restart_block_says")),
    ("RestartPolicy", "backoff_factor", By("delays_grow_as_the_restart_block_says")),
    ("RestartPolicy", "jitter", By("delays_grow_as_the_restart_block_says")),
    ("RestartPolicy", "max_attempts", By("attempts_in_a_row_are_counted")),
    ("RestartPolicy", "max_restarts", By("too_many_restarts_in_a_window_stop_the_runtime")),
    ("RestartPolicy", "window", By("too_many_restarts_in_a_window_stop_the_runtime")),
    ("ServiceSecurity", "*", By("a_service_acts_as_its_entry_says_and_others_as_their_host")),
    ("Target", "entry", By("a_dependency_gives_a_module_what_it_requires")),
    ("Target", "path", By("a_dependency_gives_a_module_what_it_requires")),
    ("TerminalHost", "hide_logs", By("logs_stay_away_from_a_terminal_that_hides_them")),
    ("TerminalHost", "lifecycle", By("each_kind_of_host_has_its_time_to_stop")),
    ("WasiEnv", "id", By("variables_come_from_every_kind_of_storage")),
    ("WasiEnv", "name", By("variables_come_from_every_kind_of_storage")),
    ("WasiEnv", "required", By("a_required_variable_without_value_is_an_error")),
    ("WasiSpec", "args", By("written_arguments_win_over_typed_ones")),
    ("WasiSpec", "cwd", By("a_guest_is_told_its_folder")),
    ("WasiSpec", "env", By("variables_come_from_every_kind_of_storage")),
    ("WasiSpec", "mounts", By("a_component_sees_its_mounts_in_the_order_of_their_paths")),
    ("WasiSpec", "network", By("rules_decide_whom_a_guest_talks_to")),
    ("WasmFile", "fs", By("a_binary_is_found_by_file_system_and_path")),
    ("WasmFile", "path", By("a_binary_is_found_by_file_system_and_path")),
    ("WasmFile", "hash", By("one_wrong_digit_of_a_hash_names_both")),
    ("WasmSpec", "code", By("a_binary_is_found_by_file_system_and_path")),
    ("WasmSpec", "method", By("every_form_of_a_method_finds_its_function")),
    ("WasmSpec", "transport", ENDPOINTS),
    ("WasmSpec", "wit", By("the_text_of_types_decides_how_a_core_function_is_called")),
    ("WasmSpec", "imports", By("each_profile_enables_its_interfaces_and_nothing_else")),
    ("WasmSpec", "wasi", By("written_arguments_win_over_typed_ones")),
    ("WasmSpec", "peers", By("nothing_is_started_that_is_not_listed")),
    ("WasmSpec", "pool", By("a_pool_has_the_slots_that_its_numbers_say")),
    ("WasmSpec", "isolation", By("an_instance_is_kept_where_that_is_wanted")),
    ("WasmSpec", "limits", By("wall_time_is_limited_in_both_spellings")),
    ("WasmSpec", "preempt", By("beside_a_guest_without_checks_a_replacement_does_the_work")),
    ("WasmSpec", "values", By("values_go_to_scripts_in_the_form_that_their_entry_names")),
    ("WatSpec", "source", By("a_module_in_text_form_is_a_function")),
    ("WatSpec", "method", By("a_module_in_text_form_is_a_function")),
    ("WatSpec", "transport", ENDPOINTS),
    ("WatSpec", "wit", By("a_module_in_text_form_is_a_function")),
    ("WatSpec", "imports", By("a_module_in_text_form_is_a_function")),
    ("WatSpec", "wasi", By("a_module_in_text_form_is_a_function")),
    ("WatSpec", "pool", By("a_pool_has_the_slots_that_its_numbers_say")),
    ("WatSpec", "isolation", By("an_instance_is_kept_where_that_is_wanted")),
    ("WatSpec", "limits", By("limits_are_those_of_each_call")),
    ("WatSpec", "preempt", By("a_module_in_text_form_is_a_function")),
    ("WatSpec", "peers", By("nothing_is_started_that_is_not_listed")),
    ("WatSpec", "values", By("values_go_to_scripts_in_the_form_that_their_entry_names")),
];

/// Every setting of `.wippy.yaml` that is typed.
const SETTINGS: &[(&str, Seen)] = &[
    ("shutdown.timeout", By("a_shutdown_takes_as_long_as_it_may")),
    ("registry.event_wait_timeout", Later("nothing: Wippy's wait for events that do not exist here")),
    ("security.strict_mode", By("in_strict_mode_nobody_may_do_anything")),
    ("logmanager.min_level", By("the_lowest_level_of_the_log_is_configured")),
    ("relay.node_name", Later("pids that name their node")),
    ("disable.namespaces", By("what_is_disabled_is_not_there")),
    ("disable.entries", By("what_is_disabled_is_not_there")),
];

/// Every option of the command line, by the struct of the source that has it.
const OPTIONS: &[(&str, &str, Seen)] = &[
    ("Cli", "global", By("values_are_printed_and_errors_are_not_values")),
    ("Cli", "command", By("values_are_printed_and_errors_are_not_values")),
    ("Global", "app", By("values_are_printed_and_errors_are_not_values")),
    ("Global", "config", By("another_configuration_file_counts_instead")),
    ("Global", "overrides", By("overrides_change_fields_and_the_command_line_wins")),
    ("Global", "settings", By("a_shutdown_takes_as_long_as_it_may")),
    ("Global", "no_cache", By("compiled_code_is_kept_unless_that_is_unwanted")),
    ("Global", "verbose", By("a_command_logs_only_when_asked")),
    ("Global", "very_verbose", By("options_say_how_much_is_logged")),
    ("Global", "console", By("options_say_how_much_is_logged")),
    ("Global", "silent", By("options_say_how_much_is_logged")),
    ("Global", "color", By("colours_are_for_who_wants_them")),
    ("RunArgs", "exec", By("values_are_printed_and_errors_are_not_values")),
    ("RunArgs", "host", By("a_command_runs_on_the_named_host")),
    ("RunArgs", "words", By("options_behind_the_name_reach_the_guest")),
    ("RunArgs", "report", By("a_report_says_how_a_command_ended_and_what_it_used")),
    ("RunArgs", "allocator", By("the_command_line_has_a_pool_too")),
    ("RunArgs", "list", By("a_list_as_json")),
    ("BatchArgs", "wanted", By("a_batch_runs_over_ranges_and_files")),
    ("BatchArgs", "input", By("a_batch_runs_over_ranges_and_files")),
    ("BatchArgs", "arg_files", By("a_batch_runs_over_ranges_and_files")),
    ("BatchArgs", "arg_files_as", By("a_batch_runs_over_ranges_and_files")),
    ("BatchArgs", "range", By("a_batch_runs_over_ranges_and_files")),
    ("BatchArgs", "output", By("a_batch_runs_over_ranges_and_files")),
    ("BatchArgs", "unordered", By("without_an_order_nobody_waits_for_the_first")),
    ("BatchArgs", "window", By("failures_are_counted_and_halt_a_batch_when_that_is_wanted")),
    ("BatchArgs", "retries", By("failures_are_counted_and_halt_a_batch_when_that_is_wanted")),
    ("BatchArgs", "timeout", By("an_item_has_its_time_and_its_output")),
    ("BatchArgs", "halt", By("failures_are_counted_and_halt_a_batch_when_that_is_wanted")),
    ("BatchArgs", "journal", By("a_journal_knows_its_batch")),
    ("BatchArgs", "resume", By("a_batch_that_is_killed_at_any_moment_has_each_index_once_in_the_end")),
    ("BatchArgs", "guest_output", By("an_item_has_its_time_and_its_output")),
    ("BatchArgs", "guest_output_max", By("an_item_has_its_time_and_its_output")),
    ("BatchArgs", "json", By("failures_are_counted_and_halt_a_batch_when_that_is_wanted")),
    ("BatchArgs", "host", By("a_batch_runs_on_the_named_host_and_from_a_pool")),
    ("BatchArgs", "allocator", By("a_batch_runs_on_the_named_host_and_from_a_pool")),
    ("BatchRange", "start", By("a_batch_runs_over_ranges_and_files")),
    ("BatchRange", "end", By("a_batch_runs_over_ranges_and_files")),
    ("ListArgs", "json", By("a_list_as_json")),
    ("CheckArgs", "strict", By("warnings_are_told_once_unless_silence_is_wanted")),
    ("CheckArgs", "json", By("broken_applications_are_told_what_is_wrong")),
    ("DoctorArgs", "json", By("the_doctor_tells_the_ceiling_and_what_raises_it")),
    ("PsArgs", "json", By("programs_that_wait_and_compute_are_seen_by_another_and_ended")),
    ("PsArgs", "watch", By("a_table_on_a_terminal_is_live_and_leaves_it_as_it_was")),
    ("PsArgs", "interval", By("a_table_on_a_terminal_is_live_and_leaves_it_as_it_was")),
    ("PsArgs", "runtime", By("what_makes_no_sense_is_told_before_anybody_is_asked")),
    ("RuntimeArg", "id", By("programs_that_wait_and_compute_are_seen_by_another_and_ended")),
    ("KillArgs", "wanted", By("programs_that_wait_and_compute_are_seen_by_another_and_ended")),
    ("CancelArgs", "wanted", By("programs_that_wait_and_compute_are_seen_by_another_and_ended")),
    ("CancelArgs", "reason", By("programs_that_wait_and_compute_are_seen_by_another_and_ended")),
    ("WantedArg", "pid", By("programs_that_wait_and_compute_are_seen_by_another_and_ended")),
    ("WantedArg", "runtime", By("programs_that_wait_and_compute_are_seen_by_another_and_ended")),
    ("HashArgs", "files", By("hashes_are_lines_to_paste")),
    ("InitArgs", "dir", By("a_new_application_runs")),
    ("CompletionsArgs", "shell", By("completions_name_the_commands")),
];

/// The text of a source file.
fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a source file")
}

/// The fields of the structs in a source, read as text: one a line that begins with `visibility`.
fn fields_of(text: &str, visibility: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut within = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix(&format!("{visibility} struct ")) {
            within = rest.strip_suffix(" {").map(str::to_owned);
        } else if line == "}" {
            within = None;
        } else if let (Some(within), Some(field)) = (&within, line.strip_prefix(&format!("    {visibility} "))) {
            let name = field.split(':').next().expect("a name");
            found.insert((within.clone(), name.to_owned()));
        }
    }
    found
}

/// What is in one of two sets only, told with the side.
fn difference(source: &BTreeSet<String>, table: &BTreeSet<String>) -> Vec<String> {
    let missing = source.difference(table).map(|name| format!("{name} is in no table"));
    let stale = table.difference(source).map(|name| format!("{name} is in a table and not in the source"));
    missing.chain(stale).collect()
}

fn described(fields: impl IntoIterator<Item = (String, String)>) -> BTreeSet<String> {
    fields.into_iter().map(|(within, name)| format!("{within}.{name}")).collect()
}

#[test]
fn every_field_is_observed_or_says_why_not() {
    let mut declared = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/registry/spec");
    for file in fs::read_dir(folder).expect("the typed kinds") {
        let name = file.expect("a file").file_name().into_string().expect("UTF-8");
        if name != "tests.rs" {
            declared.extend(fields_of(&source(&format!("src/registry/spec/{name}")), "pub"));
        }
    }
    let entry = fields_of(&source("src/registry/entry.rs"), "pub");
    declared.extend(entry.into_iter().filter(|(within, _)| within == "Command"));
    assert!(declared.len() > 100, "the source is read: {declared:?}");
    let whole: BTreeSet<_> = FIELDS.iter().filter(|(_, name, _)| *name == "*").map(|(within, ..)| *within).collect();
    for within in &whole {
        assert!(declared.iter().any(|(declared, _)| declared == within), "no struct {within}");
    }
    let listed = FIELDS.iter().filter(|(_, name, _)| *name != "*");
    let listed = described(listed.map(|(within, name, _)| ((*within).to_owned(), (*name).to_owned())));
    let declared = described(declared.into_iter().filter(|(within, _)| !whole.contains(within.as_str())));
    assert_eq!(difference(&declared, &listed), [""; 0]);
}

#[test]
fn every_setting_is_observed_or_says_why_not() {
    let text = source("src/registry/settings.rs");
    let declared = text.lines().filter_map(|line| {
        let mut words = line.trim().strip_prefix("expect(\"")?.split('"');
        Some(format!("{}.{}", words.next()?, words.nth(1)?))
    });
    let listed = SETTINGS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(difference(&declared.collect(), &listed), [""; 0]);
}

#[test]
fn every_option_is_observed() {
    let declared = fields_of(&source("src/cli/args.rs"), "pub(super)");
    let listed = OPTIONS.iter().map(|(within, name, _)| ((*within).to_owned(), (*name).to_owned()));
    assert_eq!(difference(&described(declared), &described(listed)), [""; 0]);
}

#[test]
fn every_named_test_exists() {
    let files = [
        "batch/command",
        "ceiling",
        "cli",
        "control",
        "fields/entries",
        "fields/imports",
        "fields/program",
        "fields/world",
        "files/escape",
        "files/functions",
        "functions",
        "goldens",
        "limits",
        "lua/core",
        "lua/functions",
        "lua/values",
        "mission",
        "preempt",
        "security",
        "services",
        "society/rules",
        "sockets",
    ];
    let tests: String = files.map(|name| source(&format!("tests/all/{name}.rs"))).concat();
    let seen = FIELDS.iter().map(|(.., seen)| seen).chain(SETTINGS.iter().map(|(.., seen)| seen));
    for seen in seen.chain(OPTIONS.iter().map(|(.., seen)| seen)) {
        match seen {
            By(test) => assert!(tests.contains(&format!("#[test]\nfn {test}()")), "there is no test `{test}`"),
            Later(reason) => assert!(!reason.is_empty(), "a reason"),
        }
    }
}

/// Writes a file of an application, with the folders it needs.
fn put(app: &TempDir, path: &str, content: impl AsRef<[u8]>) {
    let file = app.path().join(path);
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(file, content).expect("a file");
}

fn guest(name: &str) -> Vec<u8> {
    fs::read(fixture("guests").join(format!("{name}.wasm"))).expect("a guest")
}

/// The fields of an entry that name a binary of `bytes`.
fn binary(volume: &str, path: &str, bytes: &[u8]) -> String {
    format!("kind: process.wasm, fs: {volume}, path: {path}, hash: '{}'", hash_of(bytes))
}

fn exec<'a>(app: &Path, entry: &'a str, words: &[&'a str]) -> Said {
    run_in(app, ["run", "-x", entry, "--"].into_iter().chain(words.iter().copied()))
}

/// What a process on a host that logs returned.
#[track_caller]
fn returned(exit: Exit) -> String {
    match exit {
        Exit::Returned(value) => value.to_string(),
        other => panic!("it did not return: {other:?}"),
    }
}
