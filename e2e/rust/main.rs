//! Asks for a receive buffer that is larger than the system allows, which needs net_admin.

use std::ffi::{c_int, c_void};
use std::io::Error;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

const SOL_SOCKET: c_int = 1;
const SO_RCVBUFFORCE: c_int = 33;

unsafe extern "C" {
    fn setsockopt(socket: c_int, level: c_int, name: c_int, value: *const c_void, size: u32) -> c_int;
}

fn main() -> Result<(), Error> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let size: c_int = 1 << 26;
    let value = (&raw const size).cast();
    let status = unsafe { setsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_RCVBUFFORCE, value, size_of::<c_int>() as u32) };
    if status != 0 {
        return Err(Error::last_os_error());
    }
    println!("a receive buffer of 64 MiB");
    Ok(())
}
