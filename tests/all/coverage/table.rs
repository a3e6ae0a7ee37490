//! The table: what a guest calls in which test, and what no guest can call.

/// Functions of one interface that a guest calls in a test, which checks their answers.
pub(super) struct Covered {
    pub(super) interface: &'static str,
    /// The binary in `fixtures/guests`.
    pub(super) guest: &'static str,
    /// The path of the test in this binary of tests.
    pub(super) test: &'static str,
    /// Names, separated by blanks. What follows the name of a resource and a colon belongs to it: methods, static functions,
    /// and `new` for its constructor.
    pub(super) functions: &'static str,
}

const fn row(interface: &'static str, guest: &'static str, test: &'static str, functions: &'static str) -> Covered {
    Covered { interface, guest, test, functions }
}

/// Functions that no guest can call, and why not.
pub(super) struct Excused {
    pub(super) interface: &'static str,
    pub(super) functions: &'static str,
    pub(super) reason: &'static str,
}

pub(super) const EXCUSED: &[Excused] = &[
    Excused {
        interface: "wasi:http/types",
        functions: "incoming-request: authority consume headers method path-with-query scheme",
        reason: "a request comes only to a guest that serves `wasi:http/incoming-handler`, and no process does",
    },
    Excused {
        interface: "wasi:http/types",
        functions: "response-outparam: send-informational set",
        reason: "the place for a response comes with a request, to a guest that serves `wasi:http/incoming-handler`",
    },
];

const FUNCTIONS: &str = "guests::a_guest_calls_a_function_and_has_its_answer";
const SURROUNDINGS: &str = "probe::a_guest_sees_the_surroundings_that_its_entry_declares";
const SPLICED: &str = "probe::standard_streams_are_spliced_and_skipped";
const TERMINALS: &str = "probe::terminals::a_component_is_told_which_streams_are_terminals";
const CLOCKS: &str = "probe::clocks_show_the_systems_time_and_the_reactors";
const RANDOM: &str = "probe::random_values_differ_and_a_seed_is_its_processs_own";
const STREAMS: &str = "probe::streams_keep_every_promise";
const SOCKETS: &str = "sockets::the_documents_are_followed_in_both_families";
const MESSAGES: &str = "http::every_function_that_needs_no_server_keeps_its_promises";
const BODIES: &str = "http::bodies_and_trailers_go_both_ways";
const REFUSED: &str = "probe::preview_1_draws_yields_and_refuses_signals_and_sockets";

pub(super) const COVERED: &[Covered] = &[
    row("wippy:runtime/funcs", "funcs", FUNCTIONS, "call-bytes call-string"),
    row("wippy:process/processes", "society", "society::a_guest_knows_who_it_is_and_who_started_it", "self spawn"),
    row(
        "wippy:process/processes",
        "society",
        "society::ends_are_told_with_all_that_is_known_of_them",
        "monitor spawn-monitored terminate unmonitor",
    ),
    row(
        "wippy:process/processes",
        "society",
        "society::links_end_together_unless_they_are_trapped_or_undone",
        "link spawn-linked unlink",
    ),
    row(
        "wippy:process/processes",
        "society",
        "society::a_name_is_as_good_as_a_pid_until_its_end",
        "lookup register send unregister",
    ),
    row("wippy:process/processes", "society", "society::a_flood_waits_for_room_and_loses_nothing", "send-wait"),
    row("wippy:process/processes", "society", "society::a_cancel_is_a_word_to_those_who_listen_and_an_end_to_others", "cancel"),
    row("wippy:process/mailbox", "society", "society::a_wait_ends_with_its_timeout_and_not_before", "next next-event receive"),
    row(
        "wippy:process/mailbox",
        "society",
        "society::a_mailbox_is_polled_beside_a_timer",
        "subscribe-events subscribe-messages subscribe-signals",
    ),
    row("wippy:process/mailbox", "society", "society::links_end_together_unless_they_are_trapped_or_undone", "trap-links"),
    row(
        "wippy:process/mailbox",
        "society",
        "society::rules::bounds_of_a_mailbox_refuse_what_they_do_not_take_and_lose_nothing",
        "drop-oldest",
    ),
    row(
        "wippy:process",
        "flat",
        "society::flat::a_core_module_knows_who_it_is_and_starts_others",
        "entry error exit_code exit_kind exit_value next_event parent reason self spawn spawned",
    ),
    row(
        "wippy:process",
        "flat",
        "society::flat::messages_of_a_core_module_go_both_ways_in_every_format",
        "cancel from next payload payload_format payloads receive send topic",
    ),
    row(
        "wippy:process",
        "flat",
        "society::flat::a_core_module_watches_links_and_names",
        "drop_oldest link lookup monitor register terminate trap_links unlink unmonitor unregister",
    ),
    row("wasi:io/error", "probe", STREAMS, "error: to-debug-string"),
    row("wasi:io/poll", "probe", STREAMS, "poll pollable: block ready"),
    row("wasi:io/poll", "sleeper", "guests::sleepers_wake_on_the_nanosecond", "poll pollable: block"),
    row("wasi:io/poll", "net", "sockets::one_guest_serves_a_crowd_by_poll", "poll"),
    row(
        "wasi:io/streams",
        "probe",
        STREAMS,
        "input-stream: blocking-read blocking-skip read skip subscribe
         output-stream: blocking-flush blocking-splice blocking-write-and-flush blocking-write-zeroes-and-flush check-write
            flush splice subscribe write write-zeroes",
    ),
    row(
        "wasi:io/streams",
        "probe",
        SPLICED,
        "input-stream: blocking-skip skip output-stream: blocking-splice splice write-zeroes flush",
    ),
    row("wasi:clocks/wall-clock", "probe", CLOCKS, "now resolution"),
    row("wasi:clocks/monotonic-clock", "probe", CLOCKS, "now resolution"),
    row("wasi:clocks/monotonic-clock", "probe", "probe::a_guest_waits_until_an_instant", "subscribe-instant"),
    row("wasi:clocks/monotonic-clock", "sleeper", "guests::sleepers_wake_on_the_nanosecond", "subscribe-duration"),
    row("wasi:cli/environment", "probe", SURROUNDINGS, "get-arguments get-environment initial-cwd"),
    row("wasi:cli/exit", "probe", "probe::a_guest_ends_with_the_code_that_it_names", "exit exit-with-code"),
    row("wasi:cli/stdin", "probe", SPLICED, "get-stdin"),
    row("wasi:cli/stdout", "probe", SPLICED, "get-stdout"),
    row("wasi:cli/stderr", "probe", SPLICED, "get-stderr"),
    row("wasi:cli/terminal-stdin", "probe", TERMINALS, "get-terminal-stdin"),
    row("wasi:cli/terminal-stdout", "probe", TERMINALS, "get-terminal-stdout"),
    row("wasi:cli/terminal-stderr", "probe", TERMINALS, "get-terminal-stderr"),
    row(
        "wasi:filesystem/preopens",
        "files",
        "files::functions::a_component_sees_its_mounts_in_the_order_of_their_paths",
        "get-directories",
    ),
    row("wasi:filesystem/types", "files", "files::functions::a_component_opens_in_every_way", "descriptor: open-at"),
    row(
        "wasi:filesystem/types",
        "files",
        "files::functions::a_component_reads_and_writes",
        "filesystem-error-code
         descriptor: advise append-via-stream get-flags get-type read read-via-stream set-size sync sync-data write
            write-via-stream",
    ),
    row(
        "wasi:filesystem/types",
        "files",
        "files::functions::a_component_works_on_names",
        "descriptor: create-directory-at link-at read-directory readlink-at remove-directory-at rename-at symlink-at
            unlink-file-at
         directory-entry-stream: read-directory-entry",
    ),
    row(
        "wasi:filesystem/types",
        "files",
        "files::functions::a_component_asks_and_sets_attributes",
        "descriptor: is-same-object metadata-hash metadata-hash-at set-times set-times-at stat stat-at",
    ),
    row("wasi:random/random", "probe", RANDOM, "get-random-bytes get-random-u64"),
    row("wasi:random/insecure", "probe", RANDOM, "get-insecure-random-bytes get-insecure-random-u64"),
    row("wasi:random/insecure-seed", "probe", RANDOM, "insecure-seed"),
    row("wasi:sockets/instance-network", "net", SOCKETS, "instance-network"),
    row("wasi:sockets/network", "net", SOCKETS, "network-error-code"),
    row(
        "wasi:sockets/ip-name-lookup",
        "net",
        "sockets::names_are_found_by_the_resolver_of_the_runtime",
        "resolve-addresses resolve-address-stream: resolve-next-address subscribe",
    ),
    row("wasi:sockets/tcp-create-socket", "net", SOCKETS, "create-tcp-socket"),
    row(
        "wasi:sockets/tcp",
        "net",
        SOCKETS,
        "tcp-socket: accept address-family finish-bind finish-connect finish-listen hop-limit is-listening keep-alive-count
            keep-alive-enabled keep-alive-idle-time keep-alive-interval local-address receive-buffer-size remote-address
            send-buffer-size set-hop-limit set-keep-alive-count set-keep-alive-enabled set-keep-alive-idle-time
            set-keep-alive-interval set-listen-backlog-size set-receive-buffer-size set-send-buffer-size shutdown
            start-bind start-connect start-listen subscribe",
    ),
    row("wasi:sockets/udp-create-socket", "net", SOCKETS, "create-udp-socket"),
    row(
        "wasi:sockets/udp",
        "net",
        SOCKETS,
        "udp-socket: address-family finish-bind local-address receive-buffer-size remote-address send-buffer-size
            set-receive-buffer-size set-send-buffer-size set-unicast-hop-limit start-bind stream subscribe
            unicast-hop-limit
         incoming-datagram-stream: receive subscribe
         outgoing-datagram-stream: check-send send",
    ),
    row(
        "wasi:sockets/udp",
        "net",
        "sockets::datagrams_come_back_both_ways",
        "incoming-datagram-stream: receive subscribe outgoing-datagram-stream: check-send send subscribe",
    ),
    row("wasi:http/outgoing-handler", "http-client", BODIES, "handle"),
    row("wasi:http/outgoing-handler", "http-worker", "http::the_missions_worker_fetches_its_url", "handle"),
    row(
        "wasi:http/types",
        "http-client",
        MESSAGES,
        "fields: append clone delete entries from-list get has new set
         outgoing-request: authority body headers method new path-with-query scheme set-authority set-method
            set-path-with-query set-scheme
         outgoing-response: body headers new set-status-code status-code
         request-options: between-bytes-timeout connect-timeout first-byte-timeout new set-between-bytes-timeout
            set-connect-timeout set-first-byte-timeout",
    ),
    row(
        "wasi:http/types",
        "http-client",
        BODIES,
        "future-incoming-response: get subscribe future-trailers: get subscribe incoming-body: finish stream
         incoming-response: consume status outgoing-body: finish write",
    ),
    row(
        "wasi:http/types",
        "http-client",
        "http::a_response_shows_its_headers_and_keeps_them",
        "incoming-response: headers",
    ),
    row(
        "wasi:http/types",
        "http-client",
        "http::a_body_of_another_size_than_announced_breaks_the_request",
        "http-error-code",
    ),
    row(
        "wasi_snapshot_preview1",
        "args",
        "guests::a_preview_1_command_is_given_what_was_typed",
        "args_get args_sizes_get",
    ),
    row(
        "wasi_snapshot_preview1",
        "args",
        "fields::world::a_required_variable_without_value_is_an_error",
        "environ_get environ_sizes_get",
    ),
    row(
        "wasi_snapshot_preview1",
        "files1",
        "files::functions::a_command_reads_and_writes",
        "fd_advise fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get
         fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_dir_name fd_prestat_get fd_pwrite fd_read fd_renumber
         fd_seek fd_sync fd_tell fd_write path_open poll_oneoff",
    ),
    row(
        "wasi_snapshot_preview1",
        "files1",
        "files::functions::a_command_works_on_names",
        "fd_readdir path_create_directory path_filestat_get path_filestat_set_times path_link path_readlink
         path_remove_directory path_rename path_symlink path_unlink_file",
    ),
    row(
        "wasi_snapshot_preview1",
        "files1",
        "probe::preview_1_has_two_clocks_and_waits_for_them",
        "clock_res_get clock_time_get poll_oneoff",
    ),
    row(
        "wasi_snapshot_preview1",
        "files1",
        REFUSED,
        "proc_raise random_get sched_yield sock_accept sock_recv sock_send sock_shutdown",
    ),
    row("wasi_snapshot_preview1", "files1", "probe::a_guest_ends_with_the_code_that_it_names", "proc_exit"),
    row("wasi_snapshot_preview1", "startfn", "guests::an_exit_of_the_start_function_is_no_end", "proc_exit"),
    row(
        "wasi_snapshot_preview1",
        "files1",
        "probe::terminals::preview_1_says_the_same_by_the_type_of_a_descriptor",
        "fd_fdstat_get",
    ),
];
