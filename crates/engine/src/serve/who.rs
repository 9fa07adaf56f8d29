//! Who is at the other end of a socket: what the kernel says, not what they say.

use std::io;

use tokio::net::UnixStream;

/// The system's name of the user whose process has connected; its number if it has no name.
pub(super) fn user(stream: &UnixStream) -> io::Result<String> {
    let uid = stream.peer_cred()?.uid();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    Ok(name_of(&known, uid).unwrap_or_else(|| format!("uid {uid}")))
}

fn name_of(known: &str, uid: u32) -> Option<String> {
    known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_gets_its_name() {
        let known = "root:x:0:0:root:/root:/bin/bash\nbroken\ndeploy:x:1001:1001::/:/bin/sh\n";
        assert_eq!(name_of(known, 1001).as_deref(), Some("deploy"));
        assert_eq!(name_of(known, 1002), None);
    }
}
