//! The HTTP clients of an application: one per host, since connections live on a host's workers and its reactor.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::process::{Birth, Tasks};
use crate::registry::EntryId;
use crate::wasi::{HttpClient, HttpConfig, Spawner};

/// Made with the first process that lists `wasi:http`; as many as there are hosts. The certificate authorities are read
/// once for all of them.
#[derive(Default)]
pub(super) struct Clients {
    config: HttpConfig,
    by_host: Mutex<HashMap<EntryId, HttpClient>>,
}

impl Clients {
    /// The client of the host where this process was born.
    pub(super) fn of(&self, birth: &Birth) -> HttpClient {
        let mut clients = self.by_host.lock();
        let client = clients.entry(birth.pid().host().clone()).or_insert_with(|| {
            let spawner = Arc::new(HostTasks(birth.tasks().clone()));
            HttpClient::new(Arc::clone(birth.reactor()), spawner, self.config.clone())
        });
        client.clone()
    }
}

/// The workers of a host, as the client knows them.
struct HostTasks(Tasks);

impl Spawner for HostTasks {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(future);
    }
}
