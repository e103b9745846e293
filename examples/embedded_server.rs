//! Runs a server inside a program: `embedded_server STATE-DIRECTORY DOCROOT PUBLIC-KEY-FILE`, until Enter is pressed.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{env, error::Error, io, net::SocketAddr, path::Path, sync::Arc};

use fasp_server::{
    Server, ServerSettings, operator_file,
    state::StateDir,
    users::{AuthorizedKey, User, UserRoot, UserStore},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [state, docroot, key] = words.as_slice() else {
        return Err("usage: embedded_server STATE-DIRECTORY DOCROOT PUBLIC-KEY-FILE".into());
    };
    let state = Arc::new(StateDir::open(Path::new(state))?);
    let name = "guest".parse()?;
    let mut user = User::new(name, UserRoot::new(Path::new(docroot))?);
    user.authorized_keys =
        AuthorizedKey::parse_file(&operator_file::read(Path::new(key), 1 << 20)?)?;
    UserStore::new(Arc::clone(&state)).edit(|users| {
        if users.find(&user.name).is_none() {
            users.add(user)?;
        }
        Ok(())
    })?;
    let server = Server::start(ServerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..ServerSettings::new(state)
    })
    .await?;
    println!(
        "user guest, {}, {}",
        server.local_addr(),
        server.fingerprint()
    );
    tokio::task::spawn_blocking(|| io::stdin().read_line(&mut String::new())).await??;
    server.shutdown().await;
    Ok(())
}
